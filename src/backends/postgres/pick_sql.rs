//! The statements that find what a claim may choose from: one that looks at everything, and one that passes over what was due
//! before a time.

use super::floor::Since;

// `p` is every lane (or queue) with the priorities that are ready in it: from each to the next lower one.
macro_rules! walked {
    ($of:literal, $every:literal, $queues:literal, $from:literal) => {
        concat!(
            "p AS ( \
                SELECT l.k, (SELECT t.priority FROM @task t WHERE t.ready AND t.",
            $of,
            " = l.k ORDER BY t.priority DESC LIMIT 1) AS priority \
                FROM ",
            $every,
            " AS l (k) \
                UNION ALL \
                SELECT p.k, (SELECT t.priority FROM @task t WHERE t.ready AND t.",
            $of,
            " = p.k AND t.priority < p.priority \
                    ORDER BY t.priority DESC LIMIT 1) \
                FROM p WHERE p.priority IS NOT NULL)"
        )
    };
}

// The same from a time on. The step from one priority to the next would go past all that was due before it: each that there
// can be is asked for, those of the queues first, since lanes can be many.
macro_rules! asked {
    ($of:literal, $every:literal, $queues:literal, $from:literal) => {
        concat!(
            "q AS MATERIALIZED ( \
                SELECT DISTINCT n::smallint AS priority FROM ", $queues, " AS u (queue) CROSS JOIN generate_series(0, 255) AS n \
                WHERE (SELECT true FROM @task t WHERE t.ready AND t.queue = u.queue AND t.priority = n AND t.run_at >= ", $from, " ORDER BY t.run_at LIMIT 1)), \
            p AS ( \
                SELECT l.k, q.priority FROM ", $every, " AS l (k) CROSS JOIN q \
                WHERE (SELECT true FROM @task t WHERE t.ready AND t.", $of, " = l.k AND t.priority = q.priority AND t.run_at >= ", $from, " ORDER BY t.run_at LIMIT 1))"
        )
    };
}

// `h` is what is not empty: lanes (or queues) with their priorities. Where that is one, its first rows are locked as they are
// met; else the best of all of them (`c`) have to be known first.
macro_rules! candidates {
    ($priorities:ident, $of:literal, $every:literal, $queues:literal, $also:literal, $from:literal) => {
        concat!(
            "WITH RECURSIVE moment AS MATERIALIZED ( \
                SELECT coalesce($2::bigint, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint) AS now), ",
            $priorities!($of, $every, $queues, $from),
            ", h AS MATERIALIZED (SELECT p.k, p.priority, count(*) OVER () AS n FROM p WHERE p.priority IS NOT NULL), \
            c AS MATERIALIZED ( \
                SELECT r.seq FROM h AS p CROSS JOIN LATERAL ( \
                    SELECT t.seq, t.priority, t.run_at FROM @task t \
                    WHERE t.ready AND t.", $of, " = p.k AND t.priority = p.priority AND t.run_at >= ", $from, " AND t.run_at <= (SELECT now FROM moment) ", $also, " \
                    ORDER BY t.run_at, t.seq LIMIT $3) AS r \
                WHERE p.n > 1 ORDER BY r.priority DESC, r.run_at, r.seq LIMIT $3) "
        )
    };
}

// The best of the candidates, locked: columns of each, then how many were looked at. Those that are known are asked for by
// their numbers: joined, all that lies in an index would be read where the server takes the table to be almost empty.
macro_rules! locked {
    ($of:literal, $also:literal, $from:literal, $columns:literal) => {
        concat!(
            "(SELECT ", $columns, ", 0::bigint AS looked \
            FROM h AS p CROSS JOIN LATERAL ( \
                SELECT t.* FROM @task t \
                WHERE t.ready AND t.", $of, " = p.k AND t.priority = p.priority AND t.run_at >= ", $from, " AND t.run_at <= (SELECT now FROM moment) ", $also, " \
                ORDER BY t.run_at, t.seq LIMIT $4 FOR UPDATE SKIP LOCKED) AS t \
            WHERE p.n = 1) \
            UNION ALL \
            (SELECT ", $columns, ", k.n \
            FROM (SELECT count(*) AS n FROM c) AS k LEFT JOIN LATERAL ( \
                SELECT t.* FROM @task t WHERE t.seq = ANY(ARRAY(SELECT seq FROM c)) \
                    AND (t.ready AND t.run_at <= (SELECT now FROM moment) AND t.lane = ANY($5::uuid[])) IS TRUE \
                ORDER BY t.priority DESC, t.run_at, t.seq LIMIT $4 FOR UPDATE OF t SKIP LOCKED) AS t ON true)"
        )
    };
}

macro_rules! pick {
    ($priorities:ident, $of:literal, $every:literal, $also:literal) => {
        concat!(
            candidates!($priorities, $of, $every, "unnest($7::text[])", $also, "$6"),
            locked!(
                $of,
                $also,
                "$6",
                "t.id, t.seq, t.status, t.queue, t.name, t.body, t.lease_end, t.leased_at, t.worker, t.token, t.priority, t.run_at"
            )
        )
    };
}

// Leases what is locked, when all of it is plain and there is no rule to be kept to: $11 and $12 are where those are.
macro_rules! lease {
    ($priorities:ident, $of:literal, $every:literal, $also:literal) => {
        concat!(
            candidates!($priorities, $of, $every, "unnest(ARRAY[$10])", $also, "$13"),
            ", picked AS MATERIALIZED (",
            locked!($of, $also, "$13", "t.seq, t.plain, t.priority, t.run_at"),
            "), \
            fit AS MATERIALIZED ( \
                SELECT coalesce(bool_and(plain) FILTER (WHERE seq IS NOT NULL), true) \
                    AND NOT EXISTS (SELECT FROM unnest($11::bytea[], $12::bytea[]) AS s (f, u) \
                        WHERE EXISTS (SELECT FROM @entry WHERE k >= s.f AND k < s.u)) AS is_plain, \
                    count(seq) AS n, max(looked) AS looked FROM picked), \
            leased AS ( \
                UPDATE @task t SET status = 1, ready = false, plain = false, lease_end = (SELECT now FROM moment) + $6, worker = $7, \
                    leased_at = (SELECT now FROM moment), token = ($8 || right(lpad(to_hex(t.seq), 16, '0'), 8))::uuid \
                WHERE t.seq = ANY(ARRAY(SELECT seq FROM picked WHERE seq IS NOT NULL)) AND (SELECT is_plain FROM fit) \
                RETURNING t.priority, t.run_at, t.seq, t.id, t.name, t.body, t.lease_end, t.leased_at, t.worker, t.token), \
            counted AS ( \
                INSERT INTO @tally (line, queue, name, status, n) \
                SELECT $9, $10, l.name, s.status, s.sign * count(*) \
                FROM leased l CROSS JOIN (VALUES (0::smallint, -1), (1::smallint, 1)) AS s (status, sign) \
                GROUP BY l.name, s.status, s.sign) \
            SELECT l.id, l.body, l.lease_end, l.leased_at, l.worker, l.token, (SELECT now FROM moment), \
                fit.is_plain, fit.n, fit.looked, pg_current_xact_id_if_assigned()::xid::text \
            FROM fit LEFT JOIN leased l ON true ORDER BY l.priority DESC, l.run_at, l.seq"
        )
    };
}

// When the first of each queue is due that is not due yet.
macro_rules! delayed {
    ($priorities:ident) => {
        concat!(
            "WITH RECURSIVE moment AS MATERIALIZED ( \
                SELECT coalesce($2::bigint, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint) AS now), ",
            $priorities!("queue", "unnest($1::text[])", "unnest($1::text[])", "$3"),
            " SELECT p.k, min(r.run_at) FROM p CROSS JOIN LATERAL ( \
                SELECT t.run_at FROM @task t WHERE t.ready AND t.queue = p.k AND t.priority = p.priority \
                    AND t.run_at > (SELECT now FROM moment) ORDER BY t.run_at LIMIT 1) AS r \
            WHERE p.priority IS NOT NULL GROUP BY p.k"
        )
    };
}

macro_rules! texts {
    ($priorities:ident) => {
        Texts {
            lanes: pick!($priorities, "lane", "unnest($1::uuid[])", ""),
            queue: pick!(
                $priorities,
                "queue",
                "unnest($1::text[])",
                "AND (t.lane = ANY($5::uuid[])) IS TRUE"
            ),
            lease_lanes: lease!($priorities, "lane", "unnest($1::uuid[])", ""),
            lease_queue: lease!(
                $priorities,
                "queue",
                "unnest($1::text[])",
                "AND (t.lane = ANY($5::uuid[])) IS TRUE"
            ),
            delayed: delayed!($priorities),
        }
    };
}

/// The statements of a look.
pub(super) struct Texts {
    /// The best of these lanes, locked.
    pub(super) lanes: &'static str,
    /// The best of a queue.
    pub(super) queue: &'static str,
    /// The same, leased.
    pub(super) lease_lanes: &'static str,
    pub(super) lease_queue: &'static str,
    pub(super) delayed: &'static str,
}

/// A look at everything.
const WHOLE: Texts = texts!(walked);

/// A look that passes over what was due before a time.
const SINCE: Texts = texts!(asked);

impl Since {
    pub(super) fn texts(&self) -> &'static Texts {
        match self.whole_in {
            None => &WHOLE,
            Some(_) => &SINCE,
        }
    }
}
