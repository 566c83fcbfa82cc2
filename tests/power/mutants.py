"""The product with its care for the disk taken away, one piece at a time: what the cuts must find."""

from __future__ import annotations

from tests.mutants.plant import Mutant

__all__ = ["MUTANTS"]

_TEST = "tests/power/test_power.py::test_a_product_without_its_care_is_found[{}]"


def _mutant(name: str, breaks: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, breaks, file, old, new, _TEST.format(name))


MUTANTS = {  # scenario -> what a recording of it must find
    "sales": (
        _mutant(
            "commits are not fsynced", "receipt after disk: a commit is on the disk when it is answered",
            "posline/storage/connection.py", "PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL",
        ),
        _mutant(
            "every other commit waits for the next", "receipt after disk: no answer before the commit",
            "posline/storage/store.py",
            'self._db.execute("BEGIN IMMEDIATE")\n            work()\n            self._db.execute("COMMIT")\n',
            'if not self._db.in_transaction:\n                self._db.execute("BEGIN IMMEDIATE")\n            work()\n'
            '            self._late = not getattr(self, "_late", True)\n'
            '            if not self._late:\n                self._db.execute("COMMIT")\n',
        ),
        _mutant(
            "the journal is in memory", "a cut in the middle of a transaction leaves a whole database",
            "posline/storage/connection.py", "PRAGMA journal_mode=WAL", "PRAGMA journal_mode=MEMORY",
        ),
        _mutant(
            "folders are not fsynced", "a name that was made is there after a cut",
            "posline/storage/files.py", 'if os.name == "nt":  # Windows', 'if os.name != "none":  # Windows',
        ),
        _mutant(
            "files are renamed before they are fsynced", "a small file is the old one or the new one, whole",
            "posline/storage/files.py",
            "view = view[os.write(handle, view) :]\n        os.fsync(handle)", "view = view[os.write(handle, view) :]",
        ),
        _mutant(
            "files are written in place", "a small file is the old one or the new one, whole",
            "posline/storage/files.py", "    temporary.replace(path)\n", "    path.write_bytes(content)\n",
        ),
    ),
    "counter": (
        _mutant(
            "a backup is made under its own name", "what bears a backup's name is whole",
            "posline/till/keeping.py", 'fresh = target.with_name(target.name + ".new")', "fresh = target",
        ),
        _mutant(
            "the new key is used before its entry is written", "a till opens with the key that its last entry names",
            "posline/till/membership.py",
            "        await till.engine.durable(till.replica.rotate(fresh))\n",
            "        use_new_key(till.folder)\n        fresh.save(path)\n"
            "        await till.engine.durable(till.replica.rotate(fresh))\n",
        ),
    ),
}  # fmt: skip
