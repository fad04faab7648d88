#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# loom.sh [WORD]: model-check the lock and the engine. Every scenario must hold in all interleavings
# with at most LOOM_MAX_PREEMPTIONS (3) preemptions; then each defect is planted and the scenarios
# named beside it must fail, each with the message that says why. WORD picks scenarios by name, and
# the defects whose scenarios are among them.
set -uo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT" || exit
load_toolchain

export LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-3}
# Not the archives' directory: these flags would have everything built anew there.
export CARGO_TARGET_DIR=$ROOT/target/loom
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=4
export RUST_BACKTRACE=0
word=${1:-}
most_seconds=300
log=$BUILD/test-logs/loom
rm -rf "$log"
mkdir -p "$log"

# defect, scenario, text of the message that it must fail with
controls() {
	cat <<-'END'
		ReaderBarrier lock::a_reader_and_a_writer_exclude_each_other Causality violation
		ReaderBarrier faults::a_fault_beside_a_clear_leaves_nothing_behind a frame of what is gone
		WriterBarrier lock::a_reader_and_a_writer_exclude_each_other Causality violation
		WriterBarrier faults::a_fault_beside_an_unmap_leaves_nothing_behind a table is used that went back
		SecondLook lock::two_readers_and_a_writer_exclude_each_other Causality violation
		SecondLook faults::a_fault_beside_a_discard_finds_a_page_or_makes_one a table is used that went back
		SecondLook faults::a_fault_beside_a_protect_maps_no_more_than_what_it_leaves assertion `left == right` failed
		SecondLook faults::a_fault_beside_a_populate_keeps_its_frame assertion `left == right` failed
		SecondLook faults::a_fault_beside_a_populate_that_fails_keeps_its_frame assertion `left == right` failed
		ReadersNotAwaited lock::a_fault_that_was_resolved_leaves_before_the_writer_enters Causality violation
		ReadersNotAwaited readers::translate_beside_an_unmap_says_before_or_after Causality violation
		ReadersNotAwaited readers::translate_beside_a_fault_and_an_unmap_says_before_or_after Causality violation
		ReadersNotAwaited faults::two_faults_beside_an_unmap_leave_nothing_behind a frame of what is gone
		AnnouncementWithdrawn lock::readers_that_come_after_a_writer_do_not_enter_before_him readers can starve a writer
		ReaderLeave lock::a_reader_and_two_writers_exclude_each_other Causality violation
		ReaderLeave faults::a_fault_beside_an_unmap_leaves_nothing_behind Causality violation
		WriterLeave lock::two_writers_exclude_each_other Causality violation
		WriterLeave writers::a_map_and_an_unmap_in_one_table_are_both_done Causality violation
		WriterLeave writers::of_two_maps_of_one_page_one_is_told_that_something_is_there [Ok(()), Ok(())]
		RefusedStaysCounted lock::a_reader_that_is_refused_is_not_counted a reader is still counted
		RefusedStaysCounted faults::a_fault_beside_a_map_in_its_table_loses_neither exceeded maximum number of branches
		RefusedStaysCounted faults::a_fault_beside_a_split_finds_its_page exceeded maximum number of branches
		RefusedStaysCounted faults::a_fault_beside_a_split_that_breaks_before_it_makes_finds_its_page exceeded maximum number of branches
		RefusedStaysCounted readers::query_beside_a_protect_says_before_or_after exceeded maximum number of branches
		RefusedStaysCounted readers::translate_beside_a_split_finds_the_page exceeded maximum number of branches
		RefusedStaysAnnounced lock::a_writer_that_may_not_wait_goes_away_again a writer is still announced
		FaultWaits faults::a_fault_does_not_wait_for_a_writer_who_waits_for_its_cpu exceeded maximum number of branches
		CountedInTwo lock::two_readers_on_one_line_are_both_counted a resolved fault was not counted
		CountedInTwo faults::two_faults_on_two_pages_of_one_reservation_are_both_resolved assertion `left == right` failed
		Publication faults::two_faults_below_two_entries_of_a_table_in_the_making_are_both_resolved Causality violation
		Publication readers::translate_without_the_lock_beside_a_fault_finds_its_frame_or_nothing Causality violation
		Publication readers::a_copy_beside_a_fault_without_windows_reads_what_the_host_left_in_its_frame Causality violation
		Acquisition faults::two_faults_on_one_page_take_one_frame Causality violation
		Acquisition faults::a_fault_without_windows_finds_its_way_through_tables_of_another_fault Causality violation
		Acquisition readers::a_walk_beside_a_fault_reads_tables_after_they_were_written Causality violation
		Acquisition readers::an_audit_under_the_hosts_lock_reads_tables_after_they_were_written Causality violation
		Publication readers::a_page_beside_a_fault_comes_with_what_is_written_to_it Causality violation
		NeighbourAcquisition readers::a_copy_beside_a_fault_on_the_next_page_reads_zeroes Causality violation
		BlindReplacement faults::three_faults_on_one_page_take_one_frame Resolved, Spurious, Resolved
		BlindReplacement faults::two_faults_on_one_page_take_one_frame [Resolved, Resolved]
		BlindReplacement faults::two_faults_on_one_page_without_windows_take_one_frame [Resolved, Resolved]
		FrameKept faults::two_faults_on_one_page_without_windows_take_one_frame the loser kept its frame
		FrameKept faults::two_faults_on_one_page_take_one_frame the loser kept its frame
		FrameKept faults::two_faults_on_one_large_page_take_one_large_frame assertion `left == right` failed
		FrameKept faults::a_fault_with_a_large_frame_goes_on_where_a_small_one_won assertion `left == right` failed
		FrameKept faults::two_faults_that_share_the_last_frames_lose_none guest frames lost
		TableKept faults::two_faults_on_two_pages_of_one_reservation_are_both_resolved the loser kept its tables
		GenerationStays readers::translate_without_the_lock_beside_an_unmap_says_before_or_after a table was read that went back
		GenerationUnread readers::translate_without_the_lock_beside_a_discard_finds_the_old_frame_or_nothing a table was read that went back
		GenerationBarrier readers::translate_without_the_lock_beside_an_unmap_says_before_or_after a table was read that went back
		GenerationBarrier readers::translate_without_the_lock_beside_a_split_finds_the_page Causality violation
		BlindReplacement logged::two_writes_to_a_clean_page_make_it_dirty_once [Resolved, Resolved]
		BlindReplacement logged::two_writes_to_a_clean_page_without_windows_make_it_dirty_once [Resolved, Resolved]
		RefusedStaysCounted logged::a_write_fault_beside_a_collect_is_reported_then_or_later exceeded maximum number of branches
		ReadersNotAwaited logged::a_copy_beside_a_collect_is_reported_then_or_later a write is lost
		WriteUnmarked logged::a_copy_beside_a_collect_is_reported_then_or_later a write is lost
		PlainEdit logged::a_write_by_hardware_beside_a_protect_is_reported a write is lost
		PlainEdit logged::a_write_by_hardware_beside_a_retag_is_reported a write is lost
		PlainEdit logged::a_write_by_hardware_beside_a_hide_is_reported a write is lost
		OldPieces logged::a_write_by_hardware_beside_a_split_is_reported a write is lost
		OldPieces logged::a_write_by_hardware_beside_a_split_that_breaks_before_it_makes_is_reported a write is lost
		OldPieces logged::a_write_by_hardware_beside_a_discard_is_reported a write is lost
		OldPieces logged::a_write_by_hardware_beside_a_discard_that_breaks_before_it_makes_is_reported a write is lost
		OpenedTwice hidden::two_faults_in_a_hidden_table_show_two_pages what was shown is hidden again
		OpenedTwice hidden::two_faults_on_one_page_of_a_hidden_table_show_it_once assertion `left == right` failed
		OpenedFirst hidden::a_query_beside_a_fault_in_a_hidden_table_finds_the_page a page is shown that was not accessed
		ReadersNotAwaited hidden::two_faults_beside_a_hide_leave_nothing_unflushed what was shown is hidden and not flushed
		OpenedFirst hidden::two_faults_in_a_hidden_table_show_two_pages assertion `left == right` failed
		SecondLook hidden::a_fault_in_a_hidden_table_beside_an_unmap_leaves_nothing_behind a table is used that went back
		ReadersNotAwaited hidden::a_fault_on_a_hidden_page_beside_an_unmap_leaves_nothing_unflushed shown, unmapped and not flushed
		ReadersNotAwaited hidden::a_fault_beside_a_retag_has_the_tag_of_before_or_after is lost
		GiverFirst transfer::two_pages_lent_in_opposite_directions_both_arrive exceeded maximum number of branches
		GiverFirst transfer::a_page_given_in_both_directions_has_one_owner exceeded maximum number of branches
		TakerWritten transfer::hardware_beside_a_lend_finds_no_page_in_both a page has two owners
		RefusedStaysCounted transfer::a_fault_in_each_beside_a_lend_says_before_or_after exceeded maximum number of branches
		MergedDirt merged::a_write_by_hardware_beside_a_merge_is_reported a write is lost
		SecondLook merged::a_fault_beside_a_merge_finds_its_page a table is used that went back
		GenerationStays merged::translate_without_the_lock_beside_a_merge_finds_the_page a table was read that went back
		BlindReplacement aged::two_accesses_to_an_old_page_make_it_young_once [Resolved, Resolved]
		RefusedStaysCounted aged::a_fault_on_an_old_page_beside_a_look_is_reported_then_or_later exceeded maximum number of branches
		PlainEdit aged::an_access_by_hardware_beside_a_protect_is_reported an access is lost
		PlainEdit aged::an_access_by_hardware_beside_a_clear_is_reported an access is lost
		OldPieces aged::an_access_by_hardware_beside_a_split_is_reported an access is lost
		OldPieces aged::an_access_by_hardware_beside_a_split_that_breaks_before_it_makes_is_reported an access is lost
		ColdAtOnce aged::an_access_beside_tables_that_become_cold_is_reported an access is lost
		ColdUnflushed aged::an_access_beside_tables_that_become_cold_is_reported an access is lost
		ColdKept aged::an_access_beside_an_edit_of_a_cold_table_is_reported an access is lost
		SupplyReplaces provided::of_a_supply_and_a_fault_one_brings_the_page (Resolved, Ok(()))
		FrameKept provided::of_a_supply_and_a_fault_one_brings_the_page a frame is lost
		BlindReplacement provided::of_a_supply_and_a_fault_without_windows_one_brings_the_page (Resolved, Ok(()))
		SupplyReplaces provided::of_two_supplies_one_brings_the_page [Ok(()), Ok(())]
		TableKept provided::two_supplies_below_one_entry_are_both_done the loser kept its tables
		AskedInWindow provided::a_fault_that_waits_finds_the_page_when_it_is_there a window is open while the host is asked
		SecondLook provided::a_supply_and_a_fault_beside_an_evict_lose_no_frame tables and counters disagree
		EvictedUnflushed provided::a_page_is_reported_when_no_cpu_writes_to_it a page is reported that a CPU may still write to
	END
}

# model SCENARIO DEFECT FILE: run one in a process of its own.
model() {
	AXAS_LOOM_DEFECT=$2 nice -n 10 timeout "$most_seconds" \
		"$binary" --nocapture --test-threads=1 --exact "model::$1" >"$3" 2>&1
}

run_scenario() {
	local out=$log/${1//::/.} start=$SECONDS
	if model "$1" '' "$out" && grep -q '^test result: ok. 1 passed' "$out"; then
		say "ok      $1: $(grep -o 'executions: [0-9]*' "$out"), $((SECONDS - start)) s"
		passed=$((passed + 1))
	else
		say "FAILED  $1 (see $out)"
		failed=$((failed + 1))
	fi
}

run_control() {
	local out=$log/$1-${2//::/.} code
	model "$2" "$1" "$out" 2>/dev/null # the shell tells of every abort
	code=$?
	if [ "$code" -ne 0 ] && [ "$code" -ne 124 ] && grep -qF "$3" "$out"; then
		say "noticed $1: $2"
		passed=$((passed + 1))
	else
		say "FAILED  $1 was not noticed by $2: exit code $code, wanted: $3 (see $out)"
		failed=$((failed + 1))
	fi
}

messages=$(RUSTFLAGS="--cfg loom" host_cargo test --release --lib --features std --no-run \
	--message-format json) || die "the models do not compile"
binary=$(grep -o '"executable":"[^"]*"' <<<"$messages" | tail -n1 | cut -d'"' -f4)
[ -x "$binary" ] || die "cargo made no test binary"

passed=0
failed=0
scenarios=$("$binary" --list 2>/dev/null | sed -n 's/^model::\(.*\): test$/\1/p' | grep -F "$word")
for scenario in $scenarios; do
	run_scenario "$scenario"
	# A scenario that no defect breaks shows nothing.
	controls | grep -qF " $scenario " || {
		say "FAILED  $scenario has no negative control"
		failed=$((failed + 1))
	}
done
while read -r defect scenario message; do
	case $scenario in *"$word"*) run_control "$defect" "$scenario" "$message" ;; esac
done < <(controls)
# A defect that no line of the list plants shows nothing either.
while read -r defect; do
	controls | grep -q "^$defect " || {
		say "FAILED  $defect is planted nowhere"
		failed=$((failed + 1))
	}
done < <(sed -n 's/^    Defect::\([A-Za-z]*\),$/\1/p' src/model/mod.rs)

say "loom, at most $LOOM_MAX_PREEMPTIONS preemptions: $passed passed, $failed failed, $SECONDS s"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
