"""The table of `hack/mutate.py`: each guard that is taken out, and the test that must then fail.

First those of docs/internals/hazards.md by their numbers, then others by a name.
"""

from __future__ import annotations

from dataclasses import dataclass

SWEEP = "tests/unit/engine/sweep"
CLEANUP = "tests/unit/engine/cleanup"
NAMED = f"{CLEANUP}/test_named_hazards.py"
WAY = f"{CLEANUP}/test_hazards_of_the_way.py"
OWNER = "tests/unit/engine/test_owner.py"
SAMPLING = "tests/unit/engine/test_sampling.py"
LMDB = "tests/unit/stores/test_lmdb_file.py"
CONTROL = "tests/unit/engine/test_control_files.py"
READERS = "tests/unit/stores/test_stale_readers.py"
ROCKSDB = "tests/unit/stores/test_rocksdb_file.py"
OBJECTS = "tests/unit/objects"
REPAIR = "tests/unit/engine/repair/test_repair.py"
CONTRACT = "tests/contract/test_store_contract.py"


@dataclass(frozen=True, slots=True)
class Mutation:
    """`old` stands once in `file` (below operator/dualtrack/engine); `test` fails once it reads `new`."""

    hazard: str
    file: str
    old: str
    new: str
    test: str


MUTATIONS = (
    Mutation(
        "H1",
        "stores/decide.py",
        "if before.row.generation >= after.row.generation:",
        "if False:",
        f"{OWNER}::test_a_write_of_an_earlier_owner_loses",
    ),
    Mutation(
        "H1 sweep",
        "batches.py",
        "yield generation, batch",
        "yield owner.next_generation(), batch",
        f"{WAY}::test_a_write_between_a_sweeps_read_and_its_commit_wins",
    ),
    Mutation(
        "H2",
        "authority.py",
        "if task.epoch and task.epoch != info.epoch:",
        "if False:",
        f"{SWEEP}/test_migrate.py::test_a_run_that_was_ordered_for_another_epoch_is_refused",
    ),
    Mutation(
        "H3",
        "departed.py",
        "gone[row.bucket].append(Row.tombstone(row.bucket, row.key, generation))",
        "gone[row.bucket].append(Row.tombstone(row.bucket, row.key, task.owner.next_generation()))",
        f"{NAMED}::test_a_file_that_comes_back_while_its_row_is_buried",
    ),
    Mutation(
        "H4",
        "stores/decide.py",
        "if sweeping and (put.row.bucket, put.row.key) in dirty:",
        "if False:",
        f"{OWNER}::test_a_dirty_key_bars_a_sweep_until_it_is_drained",
    ),
    Mutation(
        "H5",
        "stores/writing.py",
        "term = self._stored_term(txn) + 1",
        "term = max(1, self._stored_term(txn))",
        f"{OWNER}::test_generations_rise_over_restarts",
    ),
    Mutation(
        "H6",
        "cleanup/purge.py",
        "if row is None or row.generation < held.generation:",
        "if False:",
        f"{NAMED}::test_a_held_file_whose_row_went_back_is_not_purged",
    ),
    Mutation(
        "H7",
        "cleanup/hold.py",
        "    _flush(root, moving)\n    for held in moving:",
        "    for held in moving:",
        f"{CLEANUP}/test_crash_states.py::test_the_whole_way_survives_a_power_cut_anywhere",
    ),
    Mutation(
        "H8",
        "judging.py",
        "return Verdict.RESIDENT if without and seen.entry is None else Verdict.MISSING_FILE",
        "return Verdict.RESIDENT",
        f"{WAY}::test_a_source_that_was_not_durable",
    ),
    Mutation(
        "H8 kept",
        "departed.py",
        "        deleted.keep_rows_of(task, [(row.bucket, row.key) for row in part])\n",
        "",
        f"{WAY}::test_a_lost_file_that_a_sweep_took_for_deleted_comes_back_from_its_row",
    ),
    Mutation(
        "H9",
        "cleanup/hold.py",
        "        and records.content_digest(found.data) == held.digest\n",
        "",
        f"{NAMED}::test_a_reused_inode",
    ),
    Mutation(
        "H10",
        "cleanup/preconditions.py",
        "    across.require(task)\n",
        "",
        f"{CLEANUP}/test_refusals.py::test_more_drives_than_named",
    ),
    Mutation(
        "H11",
        "cleanup/hold.py",
        "    survey.require_covered(task)\n",
        "",
        f"{CLEANUP}/test_survey.py",
    ),
    Mutation(
        "H11 verify",
        "judging.py",
        "return Verdict.ABSENT if seen.file is None else Verdict.MISSING_ROW",
        "return Verdict.ABSENT",
        "tests/unit/engine/test_judging.py",
    ),
    Mutation(
        "H12",
        "sampling.py",
        "first = turn * self.ppm",
        "first = 0",
        f"{SAMPLING}::test_the_rounds_of_a_seed_look_at_each_object_once",
    ),
    Mutation(
        "H12 first keys",
        "sampling.py",
        "hashlib.blake2b(data, digest_size=8, key=key).digest()",
        "data[-8:]",
        f"{SAMPLING}::test_defects_at_the_end_are_met_like_those_at_the_start",
    ),
    Mutation(
        "H13",
        "migrate.py",
        "if unread := self.state.unread + self.mending.unread:",
        "if unread := 0:",
        f"{NAMED}::test_a_sweep_over_a_half_read_directory",
    ),
    Mutation(
        "H14",
        "stores/lmdb.py",
        "            self._readers.check()\n",
        "",
        f"{READERS}::test_a_reader_killed_inside_a_transaction_does_not_make_the_store_grow",
    ),
    Mutation(
        "H14 table",
        "stores/lmdb.py",
        "            self._readers.clear()\n",
        "",
        f"{READERS}::test_a_table_full_of_dead_readers_keeps_nobody_from_reading",
    ),
    Mutation(
        "H15",
        "stores/lmdb.py",
        "case lmdb.MapFullError():",
        "case ZeroDivisionError():",
        f"{LMDB}::test_a_full_map_writes_nothing_of_the_batch_and_the_store_goes_on",
    ),
    Mutation(
        "H16",
        "stores/gate.py",
        "if os.getpid() != self._pid:",
        "if False:",
        f"{LMDB}::test_a_forked_process_may_not_use_the_store",
    ),
    Mutation(
        "H17",
        "stores/place.py",
        "    if magic in _SOUND:\n        return",
        "    return",
        f"{LMDB}::test_a_file_system_that_is_not_local_is_refused",
    ),
    Mutation(
        "H18",
        "stores/envelope.py",
        "if value[_HEADER.size : OVERHEAD] != _seal(drive, full, header, payload):",
        "if False:",
        f"{NAMED}::test_values_under_wrong_keys",
    ),
    Mutation(
        "H19",
        "stores/table.py",
        "yield from self._walk(txn, self.long, bytes(value), down, deeper, inner)",
        "yield from reversed([*self._walk(txn, self.long, bytes(value), down, deeper, inner)])",
        f"{CONTRACT}::test_keys_of_every_length_keep_the_order_of_their_bytes",
    ),
    Mutation(
        "H20",
        "metafile.py",
        "if before.st_size > MAX_META_SIZE:",
        "if False:",
        "tests/unit/engine/test_walk.py::test_a_file_beyond_every_limit_is_named_and_not_read",
    ),
    Mutation(
        "H21",
        "stores/writing.py",
        'if fence != known["fence"]:',
        "if False:",
        f"{NAMED}::test_a_zombie_worker_after_its_lease",
    ),
    Mutation(
        "H21 files",
        "lock.py",
        "if not self._is_in_place() or (fence, run_id) != self._known:",
        "if False:",
        f"{NAMED}::test_a_zombie_worker_finds_the_drives_lock_in_other_hands",
    ),
    Mutation(
        "H22",
        "trust.py",
        "if found.store_uuid and found.store_uuid != known:",
        "if False:",
        f"{OWNER}::test_the_store_that_the_marker_does_not_name_is_refused",
    ),
    Mutation(
        "H23",
        "verify.py",
        "if since := self.repairs - before:",
        "if since := 0:",
        "tests/unit/engine/repair/test_repair.py"
        "::test_a_repair_is_told_by_the_next_verification_and_by_no_later_one",
    ),
    Mutation(
        "H24",
        "stores/writing.py",
        "known, broken = unpack_all(self._drive, stored)",
        "known, broken = {}, {}",
        f"{CONTRACT}::test_an_older_generation_never_replaces_a_newer_one",
    ),
    Mutation(
        "H25",
        "put_back.py",
        "                times=(row.mtime_ns, row.mtime_ns),\n",
        "",
        f"{WAY}::test_what_was_purged_comes_back_with_mode_owner_and_time",
    ),
    Mutation(
        "H25 mode",
        "put_back.py",
        "mode=row.mode,",
        "mode=0o644,",
        f"{WAY}::test_what_was_purged_comes_back_with_mode_owner_and_time",
    ),
    Mutation(
        "H25 owner",
        "put_back.py",
        "owner=(row.uid, row.gid),",
        "owner=(0, 0),",
        f"{WAY}::test_what_was_purged_comes_back_with_mode_owner_and_time",
    ),
    Mutation(
        "H26",
        "rehearse.py",
        'if wrong := task.counts["different"]:',
        "if wrong := 0:",
        f"{CLEANUP}/test_rehearse.py::test_a_row_that_would_not_come_back_is_named",
    ),
    Mutation(
        "H27",
        "cleanup/preconditions.py",
        "if found.journal_depth or found.degraded:",
        "if False:",
        f"{CLEANUP}/test_refusals.py::test_dirty_keys",
    ),
    Mutation(
        "H28",
        "naming.py",
        'DIRECTORY_SUFFIX = "__XLDIR__"',
        'DIRECTORY_SUFFIX = "__XLDIR_"',
        "tests/unit/engine/test_walk.py::test_keys_may_look_like_the_servers_own_names",
    ),
    Mutation(
        "H28 old file",
        "metafile.py",
        'found = self.read(directory + b"/" + _LEGACY, dir_fd)',
        "found = None",
        f"{WAY}::test_odd_objects_go_the_whole_way_and_back",
    ),
    Mutation(
        "F1",
        "cleanup/hold.py",
        "    identity.hold_identity(task)\n",
        "",
        f"{WAY}::test_no_stock_server_starts_on_a_drive_before_its_first_file_moves",
    ),
    Mutation(
        "F2",
        "stores/envelope.py",
        'xxhash.xxh3_128_digest(b"\\0".join((drive, full, header)) + payload)',
        'xxhash.xxh3_128_digest(b"\\0".join((full, header)) + payload)',
        f"{CLEANUP}/test_corruption.py::test_a_row_of_another_drive_or_key_is_found_by_every_verb",
    ),
    Mutation(
        "F3",
        "stores/keys.py",
        "ROOT_SEGMENT = LIMIT - 1",
        "ROOT_SEGMENT = 65_536",
        f"{CONTRACT}::test_keys_of_every_length_keep_the_order_of_their_bytes",
    ),
    Mutation(
        "F4",
        "stores/envelope.py",
        "if value[_HEADER.size : OVERHEAD] != _seal(drive, full, header, payload):",
        "if False:",
        f"{CLEANUP}/test_corruption.py::test_each_damaged_byte_of_a_row_is_found_and_named",
    ),
    Mutation(
        "F5",
        "stores/rocksdb.py",
        "        iterator.status()\n",
        "",
        f"{ROCKSDB}::test_a_flipped_bit_ends_a_scan_with_an_error_and_not_early",
    ),
    Mutation(
        "F5 count",
        "stores/reading.py",
        "        self._compare_entries(before, rows, entries)\n",
        "",
        f"{ROCKSDB}::test_rows_that_vanish_with_their_index_are_missed_by_the_count",
    ),
    Mutation(
        "F6",
        "storelock.py",
        "lock = files.lock_file(path)",
        "lock = files.lock_file(path, shared=True)",
        f"{OWNER}::test_a_second_owner_fails_on_the_lock_and_names_the_first",
    ),
    Mutation(
        "F7",
        "stores/place.py",
        "if os.path.getsize(path) >= _announced_size(path):",
        "if True:",
        f"{LMDB}::test_a_truncated_file_is_an_error_and_not_a_signal",
    ),
    Mutation(
        "F8",
        "verify.py",
        "if self.unread:",
        "if False:",
        f"{SWEEP}/test_verify.py::test_a_key_that_stays_dirty_makes_it_incomplete",
    ),
    Mutation(
        "F8 left over",
        "bulk.py",
        "return held.checks == self.met",
        "return True",
        f"{SWEEP}/test_bulk.py::test_an_index_entry_alone_is_found_wherever_it_lies",
    ),
    Mutation(
        "F8 gaps",
        "stores/coverage.py",
        "            if start < end:\n",
        "            if False:\n",
        f"{SWEEP}/test_bulk.py::test_an_index_entry_alone_is_found_wherever_it_lies",
    ),
    Mutation(
        "F8 beside",
        "beside.py",
        "        for full, _ in self._in_gaps(INDEX, self.entries):\n            yield self._apart(full)\n",
        "",
        f"{SWEEP}/test_bulk.py::test_an_index_entry_alone_is_found_wherever_it_lies",
    ),
    Mutation(
        "F8 tombstone",
        "stores/comparing.py",
        "if row.state is RowState.TOMBSTONE and row.generation >= floor:",
        "if row.state is RowState.TOMBSTONE:",
        f"{SWEEP}/test_bulk.py::test_a_tombstone_that_may_not_be_trusted_is_found",
    ),
    Mutation(
        "F9",
        "put_back.py",
        "        for each in staged:\n            files.sync_file(each.path)\n",
        "",
        f"{CLEANUP}/test_crash_states.py::test_a_restore_over_older_files_survives_a_power_cut_anywhere",
    ),
    Mutation(
        "F10",
        "cleanup/directories.py",
        'if task.dry_run or files.remove_directory(f"{root}/{path}"):',
        "if True:",
        f"{WAY}::test_inodes_are_saved_only_with_their_directories",
    ),
    Mutation(
        "lowered ratio",
        "trust.py",
        "    return (order.index(mode.engine), mode.ratio) < (order.index(last[0]), last[1])",
        "    return False",
        f"{OWNER}::test_less_on_the_dual_track_or_another_epoch_ends_trust",
    ),
    Mutation(
        "deletion limit",
        "departed.py",
        "accepted.limit(bucket, allowed(rows[bucket]))",
        "accepted.limit(bucket, MOST)",
        f"{SWEEP}/test_deleted.py::test_a_small_bucket_that_lost_more_than_half_stops_the_sweep",
    ),
    Mutation(
        "departed rows",
        "stores/decide.py",
        "if sweeping and before.row.origin is RowOrigin.KV and before.row.generation >= trust:",
        "if False:",
        f"{CONTRACT}::test_a_sweep_never_replaces_what_only_the_store_holds",
    ),
    Mutation(
        "damaged mark",
        "journal.py",
        "            elif not data.startswith(_CLEAN):\n                damaged += 1\n",
        "",
        f"{CONTROL}::test_each_damaged_byte_of_a_mark_breaks_the_epoch",
    ),
    Mutation(
        "lost journal",
        "trust.py",
        "    broken = lost or (",
        "    broken = (",
        f"{CONTROL}::test_a_journal_that_is_gone_takes_the_trust_in_rows_with_it",
    ),
    Mutation(
        "marker's check",
        "checked.py",
        "if _CHECK in fields and fields[_CHECK] != _check(found):",
        "if False:",
        f"{CONTROL}::test_each_damaged_byte_of_a_marker_is_found",
    ),
    Mutation(
        "lost marker",
        "trust.py",
        "last[0] is not Engine.FS and not marker.exists(drive)",
        "False",
        f"{CONTROL}::test_no_server_starts_where_the_marker_is_gone_and_rows_answered",
    ),
    Mutation(
        "half a write",
        "objects/kv_only.py",
        "            token = self.kv.keeper.mark(bucket, key)\n            self.kv.put(",
        "            token = None\n            self.kv.put(",
        "tests/unit/engine/checks/test_beside_writers.py"
        "::test_a_write_on_the_way_back_that_has_its_row_and_not_yet_its_file_is_none",
    ),
    Mutation(
        "file behind row",
        "objects/keeping.py",
        "follow = opened.plane.follow if isinstance(opened.plane, ReturningPlane) else None",
        "follow = None",
        "tests/unit/objects/test_levels_and_crashes.py"
        "::test_a_write_that_is_killed_anywhere_happened_or_did_not[returning-eventual-large-s]",
    ),
    Mutation(
        "staged bodies",
        "objects/opening.py",
        "        if self.owner is not None:\n            # Its lock says",
        "        self.fs.trash.clear()\n        if self.owner is not None:\n            # Its lock says",
        "tests/unit/objects/test_modes.py"
        "::test_a_server_that_starts_beside_a_living_one_leaves_its_uploads_alone",
    ),
    Mutation(
        "marker before purge",
        "cleanup/purge.py",
        "    preconditions.raise_marker(task, MarkerState.PURGED)\n",
        "",
        f"{CLEANUP}/test_crash_states.py::test_the_whole_way_survives_a_power_cut_anywhere",
    ),
    Mutation(
        "open file",
        "cleanup/preconditions.py",
        "    _require_unopened(task)\n",
        "",
        f"{CLEANUP}/test_survey.py::test_an_open_file_on_the_drive_refuses_cleanup",
    ),
    Mutation(
        "H6 intent",
        "cleanup/hold.py",
        "        task.commit(meta={records.PENDING: records.pack_batch(moving)})\n",
        "",
        f"{CLEANUP}/test_crash_states.py::test_the_whole_way_survives_a_power_cut_anywhere",
    ),
    Mutation(
        "no verification",
        "cleanup/preconditions.py",
        "    verification.require_clean(task)\n    across",
        "    across",
        f"{CLEANUP}/test_refusals.py::test_no_verification",
    ),
    Mutation(
        "healing drive",
        "cleanup/preconditions.py",
        'if file_exists(os.fsencode(f"{root}/{name}")):',
        "if False:",
        f"{CLEANUP}/test_refusals.py::test_a_drive_that_heals",
    ),
    Mutation(
        "busy drive",
        "cleanup/preconditions.py",
        "if changed > quiet_since:",
        "if False:",
        f"{CLEANUP}/test_refusals.py::test_a_change_in_the_staging_area_just_now",
    ),
    Mutation(
        "store elsewhere",
        "cleanup/preconditions.py",
        "    _require_store_place(task, verb)\n",
        "",
        f"{CLEANUP}/test_survey.py::test_a_store_on_another_device_is_refused_even_with_the_server_stopped",
    ),
    Mutation(
        "owner's answer",
        "cleanup/preconditions.py",
        "if found.engine != Engine.KV_ONLY or found.fallback:",
        "if False:",
        f"{CLEANUP}/test_refusals.py::test_an_owner_that_does_not_serve_from_the_store_alone",
    ),
    Mutation(
        "owner asked again",
        "cleanup/hold.py",
        "        preconditions.ask_owner(task)\n        rows",
        "        rows",
        f"{CLEANUP}/test_refusals.py::test_an_owner_that_changes_its_mind_stops_the_next_batch",
    ),
    Mutation(
        "dry run",
        "cleanup/hold.py",
        "        if not task.dry_run:\n            task.owner.require_locked()",
        "        if True:\n            task.owner.require_locked()",
        f"{CLEANUP}/test_refusals.py::test_a_dry_run_tells_the_same_and_changes_nothing",
    ),
    Mutation(
        "lease before a change",
        "repair/undo.py",
        "                    task.owner.require_locked()\n",
        "",
        "tests/unit/engine/repair/test_beside_a_server.py"
        "::test_an_undo_whose_lease_ran_out_leaves_what_was_written_since",
    ),
    Mutation(
        "who marks nothing",
        "journal.py",
        "        files.share_claim(descriptor, _UNMARKED_OFFSET)\n",
        "",
        f"{OBJECTS}/test_degraded_beside_an_owner.py"
        "::test_rows_are_not_believed_while_somebody_writes_files_without_marks",
    ),
    Mutation(
        "another's intents",
        "journal.py",
        "        files.claim(descriptor, _OWNED_OFFSET)",
        "        pass",
        f"{OBJECTS}/test_degraded_beside_an_owner.py::test_the_intent_of_a_living_owner_is_left_to_it",
    ),
    Mutation(
        "snapshot's proof",
        "cleanup/purge.py",
        "        snapshots.require(task, snapshot_dir, verified)\n        _require_other",
        "        _require_other",
        f"{CLEANUP}/test_restore.py::test_a_flipped_bit_in_a_snapshot_is_found_before_a_purge",
    ),
    Mutation(
        "snapshot's disk",
        "cleanup/purge.py",
        "    if not accepted:\n",
        "    if False:\n",
        f"{CLEANUP}/test_devices.py::test_a_purge_wants_its_snapshot_on_another_disk",
    ),
    Mutation(
        "another held file",
        "cleanup/purge.py",
        "if not held.is_file(Fingerprint.of(status)) and not _same_content(root, held):",
        "if False:",
        f"{NAMED}::test_a_held_file_that_no_record_knows_is_not_purged",
    ),
    Mutation(
        "newer file",
        "restoring.py",
        "elif isinstance(file, Unreadable) or _is_newer(row, file):",
        "elif isinstance(file, Unreadable):",
        f"{CLEANUP}/test_restore.py::test_a_file_newer_than_its_row_is_refused_and_the_drive_stays_held",
    ),
    Mutation(
        "replaced file",
        "restoring.py",
        "                put(_path(self._root, row), target)\n",
        "                pass\n",
        f"{CLEANUP}/test_restore.py"
        "::test_a_restore_cut_off_again_and_again_takes_no_file_that_it_has_not_kept",
    ),
    Mutation(
        "kept file is the judged one",
        "restoring.py",
        "            if older.place in kept and not self._is_kept(older, kept[older.place])\n",
        "            if False\n",
        f"{CLEANUP}/test_restore.py::test_what_somebody_writes_over_an_older_file_during_a_restore_stays",
    ),
    Mutation(
        "a rename that never replaces",
        "cleanup/movable.py",
        '    renaming.require_exclusive(task.drive.path, "cleanup hold")\n',
        "",
        f"{CLEANUP}/test_odd_file_systems.py"
        "::test_a_file_system_that_may_replace_is_refused_before_anything_is_changed",
    ),
    Mutation(
        "parts on other mounts",
        "cleanup/movable.py",
        "    if apart := _apart(task):\n",
        "    if apart := list[str]():\n",
        f"{CLEANUP}/test_odd_file_systems.py::test_a_part_of_the_drive_on_a_mount_of_its_own_is_named",
    ),
    Mutation(
        "mark's flush",
        "journal.py",
        "        self._sync(mine)\n",
        "",
        f"{OBJECTS}/test_write_crash_states.py::test_a_mark_that_is_not_flushed_is_noticed",
    ),
    Mutation(
        "mark of a write",
        "objects/dual.py",
        "            self._keeper.mark(bucket, key)\n        super().save(",
        "            pass\n        super().save(",
        f"{OBJECTS}/test_levels_and_crashes.py::test_a_write_that_is_killed_anywhere_happened_or_did_not",
    ),
    Mutation(
        "dirty key",
        "objects/dual.py",
        "if self._keeper.broken or self._keeper.is_dirty(bucket, key):",
        "if self._keeper.broken:",
        f"{OBJECTS}/test_modes.py::test_in_kv_primary_the_row_answers_and_a_dirty_key_is_read_from_its_file",
    ),
    Mutation(
        "row below the floor",
        "objects/kv_track.py",
        "return row.generation >= self.keeper.trust_floor()",
        "return True",
        f"{OBJECTS}/test_modes.py::test_a_row_below_the_trust_floor_is_unavailable_where_no_file_can_answer",
    ),
    Mutation(
        "unswept epoch",
        "objects/kv_only.py",
        "        if not self.kv.complete():\n",
        "        if False:\n",
        f"{OBJECTS}/test_modes.py::test_in_kv_only_a_missing_row_is_unknown_until_a_sweep_of_the_epoch_is_through",
    ),
    Mutation(
        "rebuild of rows alone",
        "rebuild.py",
        "    if lock.state.state.reached(MarkerState.KV_ONLY):\n",
        "    if False:\n",
        "tests/unit/engine/recovery/test_rebuild.py::test_no_rebuild_once_rows_may_be_the_only_copy",
    ),
    Mutation(
        "held and not restored",
        "rebuild.py",
        "if records.all_restored(found) and not lost and marker.exists(drive.path):",
        "if True:",
        f"{CLEANUP}/test_rebuild_after_restore.py::test_what_may_still_be_held_keeps_a_rebuild_refused",
    ),
    Mutation(
        "damaged row in a restore",
        "restore.py",
        "    if restoring.damaged:\n",
        "    if False:\n",
        f"{CLEANUP}/test_restore_around_damage.py"
        "::test_damaged_rows_stop_no_other_object_and_come_back_once_they_are_mended",
    ),
    Mutation(
        "value kept by the drain",
        "draining.py",
        "                self.keep([known])\n",
        "",
        "tests/unit/objects/test_modes.py"
        "::test_a_marked_key_that_has_lost_its_file_is_deleted_and_its_row_kept",
    ),
    Mutation(
        "exchanged file",
        "put_back.py",
        'return _digest(data) == path.rpartition(".")[2]',
        "return True",
        "tests/unit/engine/repair/test_cut_off_exchange.py"
        "::test_what_somebody_wrote_meanwhile_is_kept_and_named",
    ),
    Mutation(
        "store behind files",
        "restore_store.py",
        "if not lock.state.state.reached(MarkerState.KV_ONLY):",
        "if False:",
        "tests/unit/engine/rowlog/test_restore_store.py"
        "::test_where_files_are_the_truth_a_store_is_rebuilt_from_them",
    ),
    Mutation(
        "newer schema",
        "stores/writing.py",
        "if schema > SCHEMA:",
        "if False:",
        "tests/unit/stores/test_upgrade.py::test_a_store_of_a_newer_schema_is_refused_and_not_touched",
    ),
    Mutation(
        "waivers",
        "verify.py",
        "        self._require_waivers()\n",
        "",
        "tests/unit/engine/checks/test_quarantine.py"
        "::test_a_waived_object_lets_a_verification_pass_until_its_file_changes",
    ),
    Mutation(
        "repair's limit",
        "repair/plan.py",
        "if found > (allowed := self.allowed(objects)):",
        "if (allowed := self.allowed(objects)) < 0:",
        f"{REPAIR}::test_more_differences_than_a_person_expects_are_refused_whole",
    ),
    Mutation(
        "repair of unverified",
        "repair/plan.py",
        'if value is None or json.loads(value)["epoch"] != info.epoch:',
        "if False:",
        f"{REPAIR}::test_a_store_that_was_never_verified_proves_nothing",
    ),
    Mutation(
        "use-kv too early",
        "repair/plan.py",
        "        _require_rows_alone(task)\n",
        "        pass\n",
        f"{REPAIR}::test_use_kv_moves_the_file_aside_only_where_rows_alone_answer",
    ),
    Mutation(
        "another's kept row",
        "repair/records.py",
        "if (row.bucket, row.key) != record.place:",
        "if False:",
        f"{REPAIR}::test_an_undo_takes_no_row_that_was_kept_of_another_object",
    ),
)
