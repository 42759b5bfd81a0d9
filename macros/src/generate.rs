//! What `#[tlo::task]` turns a function into.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, Expr, ExprLit, FnArg, ItemFn, Lit, Meta, Result, ReturnType, Type};

use crate::options::Options;

pub(crate) fn task(options: TokenStream, item: &TokenStream) -> TokenStream {
    let function = match syn::parse2::<ItemFn>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = Error::new(
                error.span(),
                "`#[tlo::task]` stands before a function: async fn(TaskContext, Args)",
            )
            .to_compile_error();
            return quote!(#error #item);
        }
    };
    let made = check(&function)
        .and_then(|()| syn::parse2::<Options>(options))
        .map(|options| companion(&function, &options))
        .unwrap_or_else(|error| error.to_compile_error());
    quote!(#function #made)
}

fn check(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if let Some(FnArg::Receiver(receiver)) = signature.inputs.first() {
        return Err(Error::new(
            receiver.span(),
            "a task is a free function; give what it needs as shared state",
        ));
    }
    if signature.inputs.len() != 2 {
        let count = signature.inputs.len();
        return Err(Error::new(
            signature.ident.span(),
            format!(
                "a task takes (TaskContext, Args), and this one takes {count}; without args write `_: ()`"
            ),
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(
            signature.generics.span(),
            "a task cannot be generic; it is looked up by its name",
        ));
    }
    Ok(())
}

/// The type beside the function. It has braces, so it takes no name from the function.
fn companion(function: &ItemFn, options: &Options) -> TokenStream {
    let ident = &function.sig.ident;
    let visibility = &function.vis;
    let own_name = ident.to_string();
    let own_name = own_name.trim_start_matches("r#");
    let name = options
        .name
        .as_ref()
        .map_or_else(|| quote!(#own_name), |name| quote!(#name));
    let description = (!options.described)
        .then(|| description(&function.attrs))
        .flatten()
        .map(|text| quote!(.description(#text)));
    let calls = &options.calls;
    let attributes: Vec<_> = function
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .collect();
    let collect = options.collect.then(|| {
        quote! {
            #(#attributes)*
            ::tlo::__private::submit! {
                ::tlo::handler::Collected { task: #ident::task }
            }
        }
    });
    // Where the function is no handler, the compiler points at its name.
    let run = quote_spanned!(ident.span()=> .run(#ident));
    let signature = signature(function, &name, options);
    let struct_doc = format!("The task `{own_name}`.");
    let task_doc = format!("The task `{own_name}`, to be registered.");
    quote! {
        #(#attributes)*
        #[doc = #struct_doc]
        #[allow(non_camel_case_types, dead_code)]
        #visibility struct #ident {}

        #(#attributes)*
        #[allow(dead_code)]
        impl #ident {
            #[doc = #task_doc]
            #visibility fn task() -> ::tlo::handler::Task {
                ::tlo::handler::task(#name) #description #(#calls)* #run
            }

            #signature
        }

        #collect
    }
}

/// What its callers need to know. A return type without a name of its own cannot be written here.
fn signature(function: &ItemFn, name: &TokenStream, options: &Options) -> Option<TokenStream> {
    let visibility = &function.vis;
    let args = match function.sig.inputs.iter().nth(1)? {
        FnArg::Typed(args) if !matches!(*args.ty, Type::ImplTrait(_)) => &args.ty,
        _ => return None,
    };
    let returned = match &function.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, returned) => match &**returned {
            Type::ImplTrait(_) | Type::Never(_) => return None,
            returned => quote!(#returned),
        },
    };
    let doc = format!(
        "The name and the types of the task `{}`, for [`Client::call`](::tlo::Client::call).",
        function.sig.ident
    );
    let version = options
        .version
        .as_ref()
        .map(|version| quote!(.version(#version)));
    Some(quote! {
        #[doc = #doc]
        #visibility fn signature<R>() -> ::tlo::client::Signature<#args, R>
        where
            #returned: ::tlo::handler::Gives<R>,
        {
            ::tlo::client::Signature::named(#name) #version
        }
    })
}

/// The first paragraph of the documentation.
fn description(attributes: &[Attribute]) -> Option<String> {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(text),
                    ..
                }) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        });
    let paragraph: Vec<String> = lines
        .skip_while(String::is_empty)
        .take_while(|line| !line.is_empty())
        .collect();
    (!paragraph.is_empty()).then(|| paragraph.join(" "))
}
