"""How do the stores of a run's parts become one?

Requests are facts: they are added by their key, and two different answers to one request are an error. Cells follow
from them: of two with the same coordinates the one counts whose answer was asked for later. What the store has already
stays, so that taking the same again changes nothing.
"""

from collections.abc import Collection

from anytime_lib.errors import DataError
from anytime_lib.store import CELL_COLUMNS, CELL_KEY, INTO_FILE, WHERE_KNOWN, Store
from anytime_lib.types import digest

_SAID = "json_extract({0}.response, '$.text', '$.reasoning', '$.finish_reason', '$.ends')"
_REPLY = f"{{0}}.completion_tokens || ' tokens of ' || datetime({{0}}.created, 'unixepoch'), {_SAID}"
_PROBLEMS = """SELECT 'problem ' || id || ' of ' || task, 'content', old.content_hash, 'content', new.content_hash
    FROM main.problems new JOIN run.problems old USING (task, id) WHERE new.content_hash <> old.content_hash"""
_ANSWERS = f"""SELECT 'request ' || substr(key, 1, 12) || ' (' || new.kind || ', ' || new.task || ')',
    {_REPLY.format("old")}, {_REPLY.format("new")} FROM main.requests new JOIN run.requests old USING (key)
    WHERE new.status = 'ok' AND old.status = 'ok' AND new.response <> old.response
        AND {_SAID.format("new")} <> {_SAID.format("old")}"""
"""What cannot be merged: its name; of either store, what it is in words and in full."""
_REST = CELL_COLUMNS[len(CELL_KEY) :]
_ASKED = "(SELECT created FROM run.requests WHERE key = {}.answer_key)"
_CELLS = f"""INSERT INTO run.cells SELECT {", ".join(CELL_COLUMNS)} FROM main.cells WHERE 1
    ON CONFLICT DO UPDATE SET ({", ".join(_REST)}) = ({", ".join(f"excluded.{name}" for name in _REST)})
    WHERE cells.answer_key IS NULL OR {_ASKED.format("excluded")} > {_ASKED.format("cells")}"""
_ATTEMPTS = """INSERT INTO run.attempts SELECT * FROM main.attempts new WHERE rowid > ?
    AND key IN (SELECT key FROM run.requests) AND NOT EXISTS (SELECT 1 FROM run.attempts old
        WHERE old.key = new.key AND old.created IS new.created AND old.status = new.status) ORDER BY rowid"""
_BESIDE = """coalesce(CASE kind WHEN 'tokens' THEN json_extract(request, '$.trace') END, key) NOT IN (
    SELECT coalesce(trace_key, '') FROM main.cells JOIN beside USING (task, problem_id)
    UNION SELECT coalesce(answer_key, '') FROM main.cells JOIN beside USING (task, problem_id))"""


def take(
    source: Store, into: Store, *, since: int = 0, beside: Collection[tuple[str, str]] = (), cells: bool = True
) -> None:
    """Add what another store holds, all of it or nothing: requests that were tried later than the attempt of the rowid
    `since`, without those that cells of the problems `beside`, as (task, id), are of; and its `cells` and problems, if
    they are wanted. DataError, which shows both, where the two cannot be merged."""
    later = f"key IN (SELECT key FROM main.attempts WHERE rowid > {since})" if since else "1"
    with source.snapshot() as db:
        db.execute("ATTACH ? AS run", (f"{into.path.absolute().as_uri()}?mode=rw",))
        db.execute("PRAGMA wal_autocheckpoint=0")
        if len({db.execute(f"PRAGMA {name}.user_version").fetchone() for name in ("main", "run")}) > 1:
            mend = f"bring it up to date with `anytime grade {source.path.parent}`"
            raise DataError(f"{source.path} was written by another version: {mend}")
        db.execute("CREATE TEMP TABLE beside (task, problem_id, PRIMARY KEY (task, problem_id))")
        db.executemany("INSERT INTO beside VALUES (?, ?)", sorted(beside))
        with db:
            db.execute("BEGIN IMMEDIATE")
            for query in [f"{_ANSWERS} AND {later}", *[_PROBLEMS] * cells]:
                if found := db.execute(query).fetchone():
                    twice = f"the {found[0]} is there twice and not the same: "
                    for path, words, whole in ((into.path, *found[1:3]), (source.path, *found[3:])):
                        twice += f"{path} holds {words}, sha256 {digest(whole)[:12]}; "  # never a word of a model's
                    raise DataError(f"{twice}merge again and name only the stores that count")
            wanted = f"SELECT * FROM main.requests WHERE {_BESIDE if beside else later}"
            db.execute(f"INSERT INTO run.requests {wanted} {WHERE_KNOWN}")
            db.execute("CREATE INDEX IF NOT EXISTS run.attempts_by_key ON attempts (key)")
            db.execute(_ATTEMPTS, (since,))
            db.execute("INSERT OR IGNORE INTO run.notes SELECT * FROM main.notes")
            if cells:
                db.execute("INSERT OR IGNORE INTO run.problems SELECT * FROM main.problems")
                db.execute(_CELLS)
        db.executescript(INTO_FILE.replace("PRAGMA ", "PRAGMA run."))
