"""Deliberate bugs, each a small change of the source, and each to be caught by a checker.

A bug that is not caught means that a checker sleeps; one that does not apply, that the code has
moved on and the bug has to be planted anew. `tools/plant_bugs.py` plants and runs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.simulation.places import SEVERAL_TABLES


@dataclass(frozen=True, slots=True)
class Bug:
    """In `file`, `old` (which occurs once) becomes `new`.

    `weather`: the one fault under which it is looked for, empty for none; by default whatever a seed draws.
    `seed`: the seed that caught it when it was last looked for, which is tried before all others.
    """

    name: str
    file: str
    old: str
    new: str
    weather: str | None = None
    seed: int = 0


_ALLOWANCE: Final = "src/keyturn/cache/allowance.py"
_CACHE: Final = "src/keyturn/cache/cache.py"
_COPIES: Final = "src/keyturn/cache/copies.py"
_FAILURES: Final = "src/keyturn/cache/failures.py"
_FLIGHTS: Final = "src/keyturn/cache/flights.py"
_SERVICE: Final = "src/keyturn/cache/service.py"
_READS: Final = "src/keyturn/cache/reads.py"
_HEAD_CHOICE: Final = "src/keyturn/cache/head_choice.py"
_CACHE_NEWS: Final = "src/keyturn/cache/news.py"
_CHECKER: Final = "src/keyturn/cache/checker.py"
_CHECKS: Final = "src/keyturn/cache/checks.py"
_TABLES: Final = "src/keyturn/cache/tables.py"
_COUNTING: Final = "src/keyturn/convergence/counting.py"
_FRESHNESS: Final = "src/keyturn/cache/freshness.py"
_LOGIN: Final = "src/keyturn/login/logins.py"
_LOGIN_MEMORY: Final = "src/keyturn/login/memory.py"
_LOGIN_POLICY: Final = "src/keyturn/login/policy.py"
_LOGIN_TURNS: Final = "src/keyturn/login/turns.py"
_MARKERS_HEADS: Final = "src/keyturn/markers/heads.py"
_RECORDER: Final = "src/keyturn/markers/recorder.py"
_RECONCILER: Final = "src/keyturn/markers/reconciler.py"
_MARKERS_READER: Final = "src/keyturn/markers/reader.py"
_MARKERS_WRITER: Final = "src/keyturn/markers/writer.py"
_REFRESH: Final = "src/keyturn/cache/refresh.py"
_REPORTER: Final = "src/keyturn/convergence/reporter.py"
_HOLDINGS: Final = "src/keyturn/cache/holdings.py"
_INSTANT: Final = "src/keyturn/model/instant.py"
_TABLE_VIEW: Final = "src/keyturn/cache/table_view.py"
_HELD: Final = "src/keyturn/cache/held.py"
_AWS_PARAMETERSTORE: Final = "src/keyturn/aws/parameterstore.py"
_MARKERS_DECISIONS: Final = "src/keyturn/markers/decisions.py"
_PARAMETERS: Final = "src/keyturn/cache/parameters.py"
_MODEL_NAMES: Final = "src/keyturn/model/names.py"
_MARKERS_SWEEPER: Final = "src/keyturn/markers/sweeper.py"
_MODEL_VERSIONS: Final = "src/keyturn/model/versions.py"

BUGS: Final = (
    # What is believed
    Bug(
        "the marker is believed without asking",
        _READS,
        "            wanted = version_to_pin(held, basis.marker, asked.limits)\n",
        "            wanted = version_to_pin(held, basis.marker, asked.limits)\n"
        "            if wanted is not None:\n"
        "                from dataclasses import replace\n"
        "                told = replace(held.version, version_id=wanted)\n"
        "                found = held.moved_to(told, asked.begun, asked.generation)\n"
        "                return self._copies.land_refresh(secret_id, basis, found)\n",
    ),
    Bug(
        "a marker of a version that cannot be read keeps the stage from being read",
        _REFRESH,
        "    if held.trouble is not None:\n        return None\n",
        "",
        weather="Secrets Manager throttles",
    ),
    Bug(
        "no answer is doubted",
        _REFRESH,
        "    if held.goes_back(answer):\n        return _doubted(held, answer, asked)\n",
        "",
        seed=13,
    ),
    Bug(
        "only versions that were seen to leave are doubted, not older ones",
        _HELD,
        "        return was_left or (mine is not None and other is not None and other < mine)\n",
        "        return was_left and (mine, other) != ()\n",
        seed=2,
    ),
    Bug(
        "a doubted answer is believed when it is repeated a moment later",
        _REFRESH,
        "    doubt, lag_s, pause_s = held.doubt, asked.limits.answer_lag_s, asked.limits.settle_s\n",
        "    doubt, lag_s, pause_s = held.doubt, 0.2, 0.2\n",
        seed=22,
    ),
    Bug(
        "a clock that is set back ends all doubts",
        _REFRESH,
        "    passed_s, wall_s = now.monotonic_s - then.monotonic_s, now.wall_s - then.wall_s\n",
        "    passed_s, wall_s = then.age_s(now), now.wall_s - then.wall_s\n",
        weather="clock set back",
        seed=87,
    ),
    Bug(
        "an idle copy is doubted for as long as a busy one",
        _REFRESH,
        "    if _outlived(held, asked):\n",
        "    if _outlived(held, asked) and False:\n",
    ),
    Bug(
        "a namesake under another ARN is not doubted",
        _REFRESH,
        "    if held.goes_back(answer):\n        return _doubted(held, answer, asked)\n",
        "    if answer.arn == held.version.arn and held.goes_back(answer):\n"
        "        return _doubted(held, answer, asked)\n",
        seed=92,
    ),
    # Parameters
    Bug(
        "a parameter's ciphertext is served in clear",
        _AWS_PARAMETERSTORE,
        "lambda: client().get_parameter(Name=name, WithDecryption=decrypt)",
        "lambda: client().get_parameter(Name=name, WithDecryption=True)",
    ),
    Bug(
        "a label of a parameter is not asked for",
        _AWS_PARAMETERSTORE,
        '    name = secret_id if stage == AWSCURRENT else f"{secret_id}:{stage}"\n',
        "    name = secret_id\n",
    ),
    Bug(
        "an event about a parameter is no reason to read it",
        _RECORDER,
        "        self._store.write([(seen, marker)])\n        return Recorded(Outcome.WRITTEN, marker)\n",
        "        return Recorded(Outcome.WRITTEN, marker)\n",
    ),
    Bug(
        "the first version after an event is taken for its news, however old",
        _REFRESH,
        "    return made_s is not None and made_s < marker.changed_at_s - limits.settle_s\n",
        "    return False\n",
        seed=422,
    ),
    Bug(
        "an event that was over when a parameter was read is asked about",
        _CHECKS,
        "            cache.judge_copies(table, before)\n",
        "            pass\n",
        seed=3,
    ),
    Bug(
        "the sweep leaves a parameter's version out",
        _MARKERS_DECISIONS,
        "        stages = dict(latest.stages) if latest is not None else {}\n",
        "        stages = dict(before.stages)\n",
    ),
    Bug(
        "get_parameter serves what it has without looking at its window",
        "src/keyturn/client.py",
        "        if parameter is not None and window.opens_at <= now() < window.closes_at:\n",
        "        if parameter is not None:\n",
        seed=279,
    ),
    Bug(
        "the names under a path are asked for at every call",
        _PARAMETERS,
        "        if known is not None and age_s <",
        "        if known is not None and age_s < 0 *",
    ),
    Bug(
        "parameters that are read together are read each time",
        _PARAMETERS,
        "        ready, spares = self._ready(asked, waiting)\n        missing =",
        "        ready, spares = self._ready(asked, waiting)\n"
        "        if len(asked) > 1 and isinstance(self._cache.source, ParameterSource):\n"
        "            self._reads._read_batch(self._cache.source, list(asked), {})\n"
        "        missing =",
    ),
    Bug(
        "a parameter's marker without a version covers its copy",
        _FRESHNESS,
        "        and marker.stages.get(held.stage) == held.version.version_id\n",
        "        and marker.stages.get(held.stage) in (None, held.version.version_id)\n",
        seed=4,
    ),
    Bug(
        "one deleted parameter hides the others of its path",
        _PARAMETERS,
        "            except ParameterNotFoundError:\n                ready[name] = None\n",
        "            except ParameterNotFoundError:\n                raise\n",
        seed=1,
    ),
    # How long it is fresh
    Bug(
        "the generation is not looked at",
        _COPIES,
        "        is_asked_for = held.generation != secret.generation and (\n",
        "        is_asked_for = held.generation > secret.generation and (\n",
    ),
    Bug(
        "a copy without a marker has the long TTL",
        _FRESHNESS,
        "    if assurance is None or not names_held_version(marker, held):\n        return short_s\n",
        "    if assurance is None or (marker is not None and not "
        "names_held_version(marker, held)):\n        return short_s\n",
        seed=5,
    ),
    Bug(
        "a copy is covered although its marker names another version",
        _FRESHNESS,
        "    if assurance is None or not names_held_version(marker, held):\n        return short_s\n",
        "    if assurance is None or marker is None:\n        return short_s\n",
        seed=8,
    ),
    Bug(
        "a pending version has the short TTL",
        _FRESHNESS,
        "    if held.stage == AWSPENDING:\n        return "
        "min(limits.check_interval_s, limits.uncovered_ttl_s) - age_s\n",
        "",
    ),
    Bug(
        "the lease never ends",
        _FRESHNESS,
        "        lease_left_s = limits.lease_s * limits.spread - swept_age_s",
        "        lease_left_s = 1e9 * limits.lease_s - swept_age_s",
        weather="nothing announces: events, listener, sweeps off",
        seed=64,
    ),
    Bug(
        "a table that stopped answering is trusted for ever",
        _FRESHNESS,
        "        return min(lease_left_s, limits.uncovered_ttl_s * limits.spread - since_check_s)\n",
        "        return lease_left_s + since_check_s\n",
        seed=80,
    ),
    Bug(
        "ages are measured by the monotonic clock alone",
        _INSTANT,
        "        return max(wall_s, now.monotonic_s - self.monotonic_s)\n",
        "        return now.monotonic_s - self.monotonic_s\n",
        weather="host frozen, monotonic clock stopped",
        seed=1,
    ),
    Bug(
        "the hit path does not look at the lower end of its window",
        "src/keyturn/client.py",
        "        if version is not None and window.opens_at <= now() < window.closes_at:\n",
        "        if version is not None and now() < window.closes_at:\n",
        weather="clock set back",
        seed=70,
    ),
    Bug(
        "a denied copy is served while it is fresh",
        _FRESHNESS,
        " or is_disputed or held.is_denied:\n",
        " or is_disputed:\n",
        seed=150,
    ),
    Bug(
        "a denied copy is served as long as a stale one",
        _FRESHNESS,
        "    return min(left_s, limits.max_denied_s - trouble.denied_since.age_s(now))\n",
        "    return left_s\n",
        seed=12,
    ),
    # When it is asked
    Bug(
        "a marker that disagrees is asked about for ever",
        _REFRESH,
        "    times = before.asked + 1 if before is not None and before.marker == marker else 1\n",
        "    times = 1\n",
        seed=8,
    ),
    Bug(
        "a marker that disagrees is asked about once",
        _REFRESH,
        "    settled = behind or times >= ASKS_PER_MARKER_MAX\n",
        "    settled = True\n",
        seed=53,
    ),
    Bug(
        "forced refreshes are not limited",
        _COPIES,
        "            forced is None or forced.age_s(now) >= self.limits.min_refresh_interval_s\n",
        "            True\n",
    ),
    Bug(
        "a secret that is gone is served on, as if the call had failed",
        _COPIES,
        "        if isinstance(error, GONE):\n            with self.lock:\n",
        "        if False:\n            with self.lock:\n",
    ),
    Bug(
        "AWSPENDING is read ahead",
        _CACHE,
        "            is_wanted = held.stage != AWSPENDING and not held.pauses(now)\n",
        "            is_wanted = not held.pauses(now)\n",
        seed=1,
    ),
    Bug(
        "others are served whatever is there while one refreshes",
        _COPIES,
        "        return age_s <= limit_s and servable_for_s(held, now, self.limits) > 0\n",
        "        return limit_s >= 0 and servable_for_s(held, now, self.limits) > 0\n",
        weather="host frozen",
        seed=45,
    ),
    Bug(
        "a check is made at every miss",
        _CHECKS,
        "    return since is None or since.age_s(now) >= age_s\n",
        "    return since is None or since.age_s(now) >= 0\n",
    ),
    Bug(
        "a lower counter is read consistently again and again",
        _HEAD_CHOICE,
        "        return self._markers.read_head(consistent=True, copy=self._copy)\n",
        "        self._markers.read_head(consistent=True, copy=self._copy)\n        return "
        "self._markers.read_head(consistent=True, copy=self._copy)\n",
        seed=13,
    ),
    Bug(
        "the markers are not read when the head has moved",
        _TABLE_VIEW,
        "        return (self.before.known & held) - doubtful - must_be_read\n",
        "        return self.before.known & held\n",
    ),
    # How long a caller waits, and what a failure spreads to
    Bug(
        "a refresh is waited for without a deadline",
        _CACHE,
        "        if flight.wait(patience_s):\n",
        "        if flight.wait(3600.0):\n",
        weather="Secrets Manager hangs",
    ),
    Bug(
        "a cold read is waited for without a deadline",
        _CACHE,
        "        if flight.wait(left_s):\n",
        "        if flight.wait(3600.0):\n",
        weather="Secrets Manager hangs",
    ),
    Bug(
        "a check of the table is waited for without a deadline",
        _CHECKS,
        "            if check.flight.wait(self._left_s(check, own, waiting, brief)):\n",
        "            if check.flight.wait(3600.0):\n",
        weather="table hangs",
    ),
    Bug(
        "a batch of parameters is waited for without a deadline",
        _PARAMETERS,
        "        if not flight.wait(patience_s):\n",
        "        if not flight.wait(3600.0):\n",
        weather="Parameter Store hangs",
    ),
    Bug(
        "the names under a path are waited for without a deadline",
        _PARAMETERS,
        "        if flight.wait(patience_s):\n            flight.outcome()\n",
        "        if flight.wait(3600.0):\n            flight.outcome()\n",
        weather="Parameter Store hangs",
    ),
    Bug(
        "a login reads past its budget",
        _LOGIN,
        "        return min(max(READ_LEAST_S, self.time.seconds()), self.time.callers_s())\n",
        "        return 3600.0\n",
        weather="Secrets Manager hangs",
    ),
    Bug(
        "a read that failed never ends its flight",
        _FLIGHTS,
        "        finally:\n            self.is_over = True\n            self._at_end(self)\n",
        "        else:\n            self.is_over = True\n            self._at_end(self)\n",
    ),
    Bug(
        "a service that does not answer never rests",
        _SERVICE,
        "        if self.rest is None and patience_s >= self._telling_s:\n",
        "        if self.rest is None and patience_s > 3600:\n",
        weather="Secrets Manager hangs",
        seed=2,
    ),
    Bug(
        "a good answer does not end a service's rest",
        _SERVICE,
        "            if took_s <= self._wait_s:\n",
        "            if took_s < 0:\n",
        weather="Secrets Manager hangs",
    ),
    Bug(
        "a service that rests is not asked again",
        _SERVICE,
        "        return not (rest.pauses(now) or is_asking or len(ages_s) >= PROBES_MAX)\n",
        "        return is_asking and now.wall_s < 0\n",
        weather="table hangs",
    ),
    Bug(
        "a foreign exception counts as the word that the secret is gone",
        _READS,
        "        return self._copies.unavailable(secret_id, said_of(error), advice=ADVICE_FOREIGN)\n",
        "        return SecretNotFoundError(secret_id, said_of(error))\n",
        weather="clients raise foreign exceptions",
    ),
    Bug(
        "callers wait although a background thread is at work",
        _CACHE,
        "        return look.is_tended and stage != AWSPENDING and self.background.is_at_work()\n",
        "        return False\n",
        weather="Secrets Manager hangs",
        seed=2,
    ),
    Bug(
        "a cold failure is remembered for ever",
        _FAILURES,
        "        if failure is None or failure.at.age_s(now) >= failure.pause_s:\n",
        "        if failure is None:\n",
    ),
    Bug(
        "all ids share the pause after a cold failure",
        _FAILURES,
        "        failure = self._failures.get(key)\n",
        "        failure = next(reversed(self._failures.values()), None)\n",
    ),
    Bug(
        "what a source raises comes out as it is",
        _READS,
        "        except BaseException as raised:\n"
        "            if is_interruption(raised):\n                raise\n",
        "        except SecretError as raised:\n",
        weather="clients raise foreign exceptions",
    ),
    Bug(
        "a check that fails comes out of get",
        _TABLE_VIEW,
        "        except (MarkerTableError, ConfigurationError) as error:\n"
        "            trouble, kind = str(error), type(error).__name__\n"
        "        except BaseException as error:\n"
        "            if is_interruption(error):\n                raise\n            # Whatever",
        "        except MemoryError as error:\n            # Whatever",
        weather="clients raise foreign exceptions",
    ),
    Bug(
        "a window keeps the entries of the one before",
        _HOLDINGS,
        "        self.window = Window({}, opens_at, closes_at)\n",
        "        self.window = Window(self.window.versions, opens_at, closes_at)\n",
    ),
    # What an interruption, a fork or an end leaves behind
    Bug(
        "a flight is registered before anything carries it out",
        _FLIGHTS,
        "            has_begun = flight.has_thread()\n",
        "            self._flights[key] = flight\n            has_begun = flight.has_thread()\n",
        seed=184,
    ),
    Bug(
        "a child goes on with the lock of its parent's thread",
        _COPIES,
        "        self.lock = new_lock()\n",
        "        self.lock = getattr(self, 'lock', None) or new_lock()\n",
        seed=16,
    ),
    Bug(
        "close waits for the convergence table without a deadline",
        _CHECKER,
        "        flight.wait(self._limits.refresh_wait_s)\n",
        "        flight.wait(3600.0)\n",
        weather="table hangs",
        seed=11,
    ),
    Bug(
        "a read that fails takes the copies of other secrets with it",
        _COPIES,
        "            troubled = failed(held, error, now, pause_s)\n",
        "            troubled = failed(held, error, now, pause_s)\n"
        "            for other, one in tuple(self.holdings.held()):\n"
        "                if other is not secret:\n"
        "                    self.holdings.drop(other, one)\n",
        weather="Secrets Manager throttles",
        seed=1,
    ),
    # Whose it is
    Bug(
        "secrets are kept by their name",
        _HOLDINGS,
        "            key = self._key_of(version.arn, version.name)\n"
        "            secret = HeldSecret(version.arn, version.name, key)\n",
        "            key = self._key_of(version.arn, version.name)\n"
        "            by_name = next((one for one in self._secrets.values() if "
        "one.name == version.name), None)\n"
        "            secret = by_name or HeldSecret(version.arn, version.name, "
        "key)\n",
        seed=10,
    ),
    Bug(
        "a suffix is stripped by its pattern",
        _MODEL_NAMES,
        '    return arn[:-SUFFIX_LENGTH] if arn[:-SUFFIX_LENGTH].endswith(f":secret:{name}") else arn\n',
        '    return __import__("re").sub(r"(-[A-Za-z0-9]{6})+$", "", arn)\n',
    ),
    Bug(
        "a secret is always read by its full ARN",
        _HELD,
        "        return min(self.names, default=self.arn)\n",
        "        return self.arn\n",
    ),
    # What is written
    Bug(
        "the marker is read after the secret",
        _RECONCILER,
        "            seen = self._store.look(key) if key is not None else None\n"
        "            described = find_secret(self._catalog, hint.secret_id, key)\n",
        "            described = find_secret(self._catalog, hint.secret_id, key)\n"
        "            seen = self._store.look(key) if key is not None else None\n",
    ),
    Bug(
        "markers are written without a condition",
        _MARKERS_WRITER,
        "        condition = seen.mark.condition() if isinstance(seen.mark, Mark) else {}\n",
        "        condition: dict[str, object] = {}\n",
        seed=6,
    ),
    Bug(
        "markers are read eventually consistent",
        _MARKERS_READER,
        '"Keys": [{"pk": {"S": key}} for key in keys], "ConsistentRead": True}\n',
        '"Keys": [{"pk": {"S": key}} for key in keys], "ConsistentRead": False}\n',
        seed=1,
    ),
    Bug(
        "the head is not told of a write",
        _MARKERS_WRITER,
        "        self._heads.tell((seen.marker, marker) for seen, marker in numbered)\n",
        "",
    ),
    Bug(
        "the head is told before the marker is written",
        _MARKERS_WRITER,
        "        self._put(numbered)\n"
        "        self._heads.tell((seen.marker, marker) for seen, marker in numbered)\n",
        "        self._heads.tell((seen.marker, marker) for seen, marker in numbered)\n"
        "        self._put(numbered)\n",
        seed=86,
    ),
    Bug(
        "two changes of a slot are taken for one",
        _CACHE_NEWS,
        "    if entry is None or slot.total - entry.step != before.total:\n",
        "    if entry is None:\n",
        seed=8,
    ),
    Bug(
        "writers that know no slots are not noticed",
        _CACHE_NEWS,
        "    if sum(steps) != head.counter - seen.counter or min(steps) < 0:\n",
        "    if min(steps, default=0) < 0:\n",
        seed=1,
    ),
    Bug(
        "untold is forgotten",
        "src/keyturn/markers/conditions.py",
        "    untold = item is not None and marker is not None and is_untold(item)\n",
        "    untold = False\n",
        weather="listener crashes between steps",
        seed=2,
    ),
    Bug(
        "the sweep tells of no marker",
        _MARKERS_SWEEPER,
        "            self._table.tell(untold[at : at + WRITES_MAX])\n",
        "            pass\n",
        weather="listener crashes between steps",
        seed=8,
    ),
    Bug(
        "a writer says of another's marker that it was told",
        _MARKERS_WRITER,
        '            "ConditionExpression": "#epoch = :epoch AND #sequence = :sequence",\n',
        '            "ConditionExpression": "attribute_exists(#epoch) AND :epoch = :epoch",\n',
    ),
    Bug(
        "the first copy alone is told",
        _MARKERS_HEADS,
        "        for copy in range(1, min(copies, COPIES_MAX)):\n",
        "        for copy in range(1, min(copies, 2)):\n",
        seed=2,
    ),
    Bug(
        "the sweep renews the first copy alone",
        _MARKERS_HEADS,
        "        for copy in range(1, wanted):\n",
        "        for copy in range(1, min(wanted, 2)):\n",
        seed=2,
    ),
    Bug(
        "a copy's lease is taken for another's",
        _TABLE_VIEW,
        "        head = self._heads.read(before.head)\n",
        "        head = self._heads.read(before.head)\n"
        "        first = self._markers.read_head(consistent=True)\n"
        "        if head is not None and first is not None:\n"
        "            head = head._replace(swept_as_of_s=first.swept_as_of_s, epoch=first.epoch)\n",
    ),
    Bug(
        "AWSCURRENT goes back in the marker at one word of DescribeSecret",
        _RECONCILER,
        "        if moves_back(before, described) and move != seen_before and not is_named:\n",
        "        if moves_back(before, described) and False:\n",
    ),
    Bug(
        "two looks at different markers confirm each other",
        _RECONCILER,
        "        if moves_back(before, described) and move != seen_before and not is_named:\n",
        "        said = seen_before.to if seen_before is not None else None\n"
        "        if moves_back(before, described) and move.to != said and not is_named:\n",
        seed=9,
    ),
    Bug(
        "a hinted version that is not shown yet is not waited for",
        _RECONCILER,
        "        return Look(before, before, move, settled=shows(described, hint))",
        "        return Look(before, before, move, settled=True)",
        seed=28,
    ),
    Bug(
        "a tombstone is written without a look by name",
        _RECONCILER,
        "    if found is not None or key is None:\n        return found\n",
        "    return found\n",
        seed=26,
    ),
    Bug(
        "the lease is renewed as of the sweep's end",
        _MARKERS_SWEEPER,
        "        self._table.renew(started_s - LIST_LAG_S)\n",
        "        self._table.renew(self._table.now_s() - 1)\n",
        seed=9,
    ),
    Bug(
        "the sweep believes the list",
        _MARKERS_SWEEPER,
        "            described = find_secret(self._catalog, marker.arn, marker.key)\n",
        "            described = next(\n"
        "                (one for one in self._catalog.list() if one.arn == marker.arn), None\n"
        "            )\n",
        weather="events lost for a while",
        seed=46,
    ),
    # Logging in
    Bug(
        "a time-out moves on to the next version",
        _LOGIN,
        "            elif isinstance(error, Exception) and self._login.is_refused(error):\n",
        "            elif isinstance(error, Exception):\n",
        seed=3,
    ),
    Bug(
        "a refusal is never remembered",
        _LOGIN_TURNS,
        "                self._change(turn, Verdict(verdict.accepted, now, is_current))\n",
        "                self._change(turn, verdict)\n",
    ),
    Bug(
        "a refused version is tried again at once",
        _LOGIN_MEMORY,
        "        is_settled = self.refused.age_s(now) >= settle_s\n",
        "        is_settled = self.refused.age_s(now) >= 0\n",
    ),
    Bug(
        "there is no ceiling of the reads that markers can cause",
        _ALLOWANCE,
        "        self._secrets[key] = Spent(spent, now_s, min(SECRET_READS_MAX, in_vain))\n",
        "        self._secrets[key] = Spent(0.0, now_s, min(SECRET_READS_MAX, in_vain))\n",
        weather="markers forged all the time",
        seed=11,
    ),
    Bug(
        "a marker resets the budget of attempts",
        _LOGIN,
        "        turn = self.turns.take(\n",
        "        if self._versions.evidence(version.arn).moving:\n"
        "            self.turns.forget()\n"
        "        turn = self.turns.take(\n",
        seed=1,
    ),
    Bug(
        "a refused version gets no second try",
        _LOGIN_MEMORY,
        "        if self.refused is None or self.has_second_try_begun:\n",
        "        if self.refused is None or self.refused:\n",
        seed=1,
    ),
    Bug(
        "the pending version is not tried",
        _LOGIN,
        "            yield doubted\n        yield from self._under(AWSPENDING, current)\n",
        "            yield doubted\n",
        seed=2,
    ),
    Bug(
        "AWSPREVIOUS is not tried although it may be",
        _LOGIN,
        "            if self._policy.previous or _is_newer(previous, current):\n",
        "            if False:\n",
        seed=2,
    ),
    Bug(
        "AWSPREVIOUS is tried by choice alone, also where it is the newer version",
        _LOGIN,
        "            if self._policy.previous or _is_newer(previous, current):\n",
        "            if self._policy.previous:\n",
        seed=16,
    ),
    Bug(
        "the version last logged in with is forgotten",
        _LOGIN_TURNS,
        "            self._memory.keep_last(turn.key[0], LastLogin(version, current))\n",
        "",
    ),
    Bug(
        "the budget is ignored",
        _LOGIN_POLICY,
        "        left_s = self._policy.budget_s - self.waited_s()\n",
        "        left_s = 60.0\n",
        seed=1,
    ),
    Bug(
        "a login that cannot pause as long as it wants gives up",
        _LOGIN_POLICY,
        "        pause_s = left_s if wanted_s > left_s - LEAST_PAUSE_S else wanted_s\n",
        "        pause_s = 0.0 if wanted_s > left_s else wanted_s\n",
        seed=1,
    ),
    Bug(
        "a login does not wait for a rotation under way",
        _LOGIN,
        "            if not (is_moving and pause_s):\n",
        "            if not (is_moving and pause_s > 60):\n",
        seed=11,
    ),
    Bug(
        "a login waits past its caller's time",
        _LOGIN_POLICY,
        "        return pause_s if pause_s < self.callers_s() else 0.0\n",
        "        return pause_s\n",
        seed=1,
    ),
    Bug(
        "a refused login does not read AWSCURRENT again",
        _LOGIN,
        "        yield from self._read(\n            AWSCURRENT, current, lambda: self._versions.recheck(",
        "        yield from self._read(\n            AWSCURRENT, current, lambda: self._versions.get(",
    ),
    Bug(
        "a turn ends when the loop's iterator is collected",
        _LOGIN,
        "        finally:\n            self._turn.end()\n",
        "        finally:\n            pass\n",
        weather="database does not answer",
        seed=36,
    ),
    Bug(
        "a login waits for another thread without a deadline",
        _LOGIN_TURNS,
        "        left_s = min(self.left_s, time_left_s)\n",
        "        left_s = 3600.0\n",
        weather="database does not answer",
        seed=41,
    ),
    Bug(
        "what is remembered of a version is remembered without its server",
        _LOGIN_TURNS,
        "\n        key, is_current = (server, version.identity), _is_current(version)\n",
        '\n        key, is_current = ("", version.identity), _is_current(version)\n',
    ),
    Bug(
        "the last login is remembered without its server",
        _LOGIN_TURNS,
        "            self._memory.keep_last(turn.key[0], LastLogin(version, current))\n",
        '            self._memory.keep_last("", LastLogin(version, current))\n',
        seed=2,
    ),
    Bug(
        "all successes are cleared to make room for another secret's",
        _LOGIN_MEMORY,
        "        while len(self._entries) > self._entries_max:\n"
        "            self._entries.popitem(last=False)\n",
        "        if len(self._entries) > 1 and isinstance(key, str):\n"
        "            self._entries.clear()\n"
        "            self._entries[key] = value\n",
    ),
    Bug(
        "one refusal bars a version that has just succeeded",
        _LOGIN_MEMORY,
        "        return is_settled or (self.accepted > 0 and not refused_by_caller)\n",
        "        return is_settled\n",
        seed=6,
    ),
    Bug(
        "a second try is not remembered",
        _LOGIN_TURNS,
        "            if turn.is_second_try:\n",
        "            if False:\n",
        seed=1,
    ),
    # What is reported
    Bug(
        "a change is no reason to report",
        _COUNTING,
        "    return moves != last.moves or age_s >= ",
        "    return age_s >= ",
        seed=3,
    ),
    Bug(
        "a report is made at every check",
        _COUNTING,
        "    return moves != last.moves or age_s >= ",
        "    return moves != last.moves or age_s >= 0 * ",
        seed=3,
    ),
    Bug(
        "every change is reported at once",
        _COUNTING,
        "    if age_s < last.pause_s:\n        return False\n",
        "",
        seed=3,
    ),
    Bug(
        "a forked or restored process goes on as the environment that it was",
        _REPORTER,
        "        self._life += 1\n        self._last: LastReport | None = None\n",
        "        self._life += 1\n        self._last: LastReport | None = getattr(self, '_last', None)\n",
        seed=3,
    ),
    Bug(
        "a report says what was held when the last one was made",
        _REPORTER,
        "        held = merged(cache.current() for cache in self._caches)\n",
        "        self._now_held = merged(cache.current() for cache in self._caches)\n"
        "        held = getattr(self, '_was_held', self._now_held)\n"
        "        self._was_held = self._now_held\n",
        seed=3,
    ),
    # What is measured
    Bug(
        "a read is measured twice",
        _READS,
        '        self._measure(begun, answer.name if isinstance(answer, SecretVersion) else "")\n',
        '        self._measure(begun, answer.name if isinstance(answer, SecretVersion) else "")\n'
        '        self._measure(begun, answer.name if isinstance(answer, SecretVersion) else "")\n',
        seed=1,
    ),
    Bug(
        "how late a version is is told without the marker's own date",
        _FRESHNESS,
        "    return max(0.0, answered_at_s - marker.changed_at_s + since_check_s)\n",
        "    return answered_at_s - 2 * marker.changed_at_s + since_check_s\n",
    ),
    Bug(
        "a metric is told of a value",
        _READS,
        '        self._measure(begun, answer.name if isinstance(answer, SecretVersion) else "")\n',
        '        self._measure(begun, getattr(answer, "string", None) or "")\n',
    ),
    # What leaves
    Bug(
        "a value is in the repr of its version",
        _MODEL_VERSIONS,
        "    concealed: Concealed = field(repr=False)\n",
        "    concealed: Concealed = field(repr=False)\n\n"
        "    def __repr__(self) -> str:\n        return str(self.concealed.reveal())\n",
    ),
    Bug(
        "a refused value is in the error of the login",
        _LOGIN,
        '        labels = ", ".join(sorted(version.stages)) or "no label"\n',
        '        labels = version.string or "no label"\n',
    ),
    Bug(
        "the check of one table keeps the others from theirs",
        _CHECKS,
        "self.flights.join_or_begin(table, job,",
        "self.flights.join_or_begin(next(iter(self._tables)), job,",
        weather=SEVERAL_TABLES,
    ),
    Bug(
        "a table that rests makes all others rest",
        _CHECKS,
        "        if not table.service.may_probe(now):\n",
        "        if not all(one.service.may_probe(now) for one in self._tables):\n",
        weather=SEVERAL_TABLES,
        seed=1,
    ),
    Bug(
        "the first table is believed about every account and Region",
        _TABLES,
        "        place = Place.of(key)\n",
        "        place = next(iter(self._of_place))\n",
        weather=SEVERAL_TABLES,
    ),
    Bug(
        "each table is asked about the secrets of all places",
        _CHECKS,
        " if self._tables.covering(key) is table}\n",
        "}\n",
        weather=SEVERAL_TABLES,
    ),
    Bug(
        "a failed check of one table makes all others pause",
        _CHECKS,
        "if not table.watch.pauses(now)]",
        "if not any([one.watch.pauses(now) for one in self._tables])]",
        weather=SEVERAL_TABLES,
        seed=12,
    ),
    Bug(
        "callers wait for a table that rests if another one answers",
        _CHECKER,
        "self._begin_checks(due, age_s) if one.table.service.rest is None]\n",
        "self._begin_checks(due, age_s)]\n",
        weather=SEVERAL_TABLES,
        seed=6,
    ),
    Bug(
        "the wait for other tables leaves no time to read what the own table tells",
        _CHECKS,
        "OTHERS_SHARE: Final = 0.75\n",
        "OTHERS_SHARE: Final = 1.0\n",
        weather=SEVERAL_TABLES,
        seed=29,
    ),
    Bug(
        "Secrets Manager rests in all places where it rests in one of them",
        "src/keyturn/assembly.py",
        "tuple(tables)[1:] if table.place is not None]",
        "() if table.place is not None]",
        weather=SEVERAL_TABLES,
        seed=8,
    ),
)
