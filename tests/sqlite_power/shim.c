// Preloaded into a process: writes down, in one order, what it does to the files of one folder, so that a test can work
// out what a disk could hold had the power failed at any moment.
//
// A record is four 64-bit numbers (kind, inode, position or number, length) and that many bytes. A write is noted before it
// is done and both under one lock: what is noted before a sync begins is therefore done. A sync is noted when it begins and
// when it has returned; the process goes on meanwhile, as it does on a real disk. Nothing is really synced: the test keeps
// the books, and a sync only takes a while.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { DESCRIPTORS = 4096, NOTHING = 0, DATA, FOLDER, ANSWERS };

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;
static char folder[4096];
static size_t folder_length;
static unsigned char what[DESCRIPTORS];
static uint64_t inode[DESCRIPTORS];
static uint64_t syncs;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TLO_POWER_JOURNAL"), *place = getenv("TLO_POWER_FOLDER");
    if (!path || !place || strlen(place) >= sizeof folder) return;
    strcpy(folder, place);
    folder_length = strlen(folder);
    syncs = (uint64_t)getpid() << 32;
    journal = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void note(char kind, uint64_t file, uint64_t at, const void *bytes, uint64_t length) {
    uint64_t head[4] = {(unsigned char)kind, file, at, length};
    struct iovec parts[2] = {{head, sizeof head}, {(void *)bytes, length}};
    if (REAL(writev)(journal, parts, 2) != (ssize_t)(sizeof head + length)) _exit(97);
}

// The name of a file in the folder; "" for the folder, null for what is elsewhere or not worth noting.
static const char *name_of(const char *path) {
    if (journal < 0 || !path || strncmp(path, folder, folder_length)) return 0;
    if (!path[folder_length]) return "";
    if (path[folder_length] != '/') return 0;
    const char *name = path + folder_length + 1;
    size_t length = strlen(name);
    // Shared memory is not for the disk: it is made anew from the log.
    if (length > 4 && !strcmp(name + length - 4, "-shm")) return 0;
    return name;
}

static int opened(const char *path, int flags, mode_t mode) {
    const char *name = name_of(path);
    if (!name) return REAL(open)(path, flags, mode);
    pthread_mutex_lock(&order);
    int is_new = access(path, F_OK) != 0;
    int file = REAL(open)(path, flags, mode);
    struct stat facts;
    if (file >= 0 && file < DESCRIPTORS && fstat(file, &facts) == 0) {
        inode[file] = facts.st_ino;
        what[file] = !*name ? FOLDER : !strcmp(name, "answers") ? ANSWERS : DATA;
        if (what[file] == DATA && is_new) note('C', inode[file], 0, name, strlen(name));
        else if (what[file] == DATA && (flags & O_TRUNC)) note('T', inode[file], 0, "", 0);
    }
    pthread_mutex_unlock(&order);
    return file;
}

#define OPEN(name)                                        \
    int name(const char *path, int flags, ...) {          \
        mode_t mode = 0;                                  \
        if (flags & (O_CREAT | __O_TMPFILE)) {            \
            va_list rest;                                 \
            va_start(rest, flags);                        \
            mode = va_arg(rest, mode_t);                  \
            va_end(rest);                                 \
        }                                                 \
        return opened(path, flags, mode);                 \
    }
OPEN(open)
OPEN(open64)

static int kind_of(int file) { return file >= 0 && file < DESCRIPTORS ? what[file] : NOTHING; }

int close(int file) {
    if (kind_of(file) != NOTHING) {
        pthread_mutex_lock(&order);
        what[file] = NOTHING;
        pthread_mutex_unlock(&order);
    }
    return REAL(close)(file);
}

ssize_t write(int file, const void *bytes, size_t length) {
    int kind = kind_of(file);
    if (kind != DATA && kind != ANSWERS) return REAL(write)(file, bytes, length);
    pthread_mutex_lock(&order);
    if (kind == ANSWERS) {
        note('A', inode[file], 0, bytes, length);
        // The process is gone in the middle of whatever its other threads are doing.
        if (length >= 3 && !memcmp(bytes, "die", 3)) _exit(0);
    } else {
        note('W', inode[file], (uint64_t)lseek(file, 0, SEEK_CUR), bytes, length);
    }
    ssize_t written = REAL(write)(file, bytes, length);
    pthread_mutex_unlock(&order);
    return written;
}

#define PWRITE(name, position)                                                     \
    ssize_t name(int file, const void *bytes, size_t length, position at) {        \
        if (kind_of(file) != DATA) return REAL(pwrite64)(file, bytes, length, at); \
        pthread_mutex_lock(&order);                                                \
        note('W', inode[file], (uint64_t)at, bytes, length);                       \
        ssize_t written = REAL(pwrite64)(file, bytes, length, at);                 \
        pthread_mutex_unlock(&order);                                              \
        return written;                                                            \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, position)                                     \
    int name(int file, position size) {                              \
        if (kind_of(file) != DATA) return REAL(ftruncate64)(file, size); \
        pthread_mutex_lock(&order);                                  \
        note('T', inode[file], (uint64_t)size, "", 0);               \
        int done = REAL(ftruncate64)(file, size);                    \
        pthread_mutex_unlock(&order);                                \
        return done;                                                 \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

int unlink(const char *path) {
    const char *name = name_of(path);
    if (!name || !*name) return REAL(unlink)(path);
    pthread_mutex_lock(&order);
    int done = REAL(unlink)(path);
    if (done == 0) note('U', 0, 0, name, strlen(name));
    pthread_mutex_unlock(&order);
    return done;
}

static int synced(int file) {
    pthread_mutex_lock(&order);
    uint64_t number = ++syncs, node = what[file] == FOLDER ? 0 : inode[file];
    note('B', node, number, "", 0);
    pthread_mutex_unlock(&order);
    struct timespec while_it_spins = {0, 400000};
    nanosleep(&while_it_spins, 0);
    pthread_mutex_lock(&order);
    note('E', node, number, "", 0);
    pthread_mutex_unlock(&order);
    return 0;
}

int fsync(int file) { return kind_of(file) == DATA || kind_of(file) == FOLDER ? synced(file) : REAL(fsync)(file); }

int fdatasync(int file) {
    return kind_of(file) == DATA || kind_of(file) == FOLDER ? synced(file) : REAL(fdatasync)(file);
}
