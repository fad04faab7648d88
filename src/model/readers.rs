// SPDX-License-Identifier: MIT OR Apache-2.0
//! Readers beside faults and exclusive calls, with the lock and without.

use std::sync::Arc;

use super::host::{FOREIGN, HUGE, LARGE, LINEAR, PAGE, RW, SECRET, World, set_word_of, word_of};
use super::{explore, on_cpu};
use crate::abi::*;
use crate::address_space::{Access, Verdict};
use crate::error::Error;
use crate::flags::Permissions;

/// What another CPU finds at an address.
fn translate_on(
    world: &Arc<World>,
    gpa: u64,
) -> loom::thread::JoinHandle<crate::error::Result<u64>> {
    let world = world.clone();
    on_cpu(1, move || world.translate(gpa).map(|(hpa, _)| hpa))
}

fn assert_before_or_after(found: crate::error::Result<u64>, before: u64) {
    let foreign = FOREIGN..FOREIGN + LARGE;
    assert!(!found.is_ok_and(|hpa| foreign.contains(&hpa)), "a table was read that went back");
    assert!(found == Ok(before) || found == Err(Error::NotMapped), "{found:?}");
}

/// A page goes with its tables while it is looked for.
fn translate_beside_unmap(world: Arc<World>) {
    world.map_linear(0, LINEAR, PAGE, RW).expect("mapped");
    let reader = translate_on(&world, 0);
    world.unmap(0, PAGE).expect("unmapped");
    assert_before_or_after(reader.join().unwrap(), LINEAR);
    assert_eq!(world.translate(0), Err(Error::NotMapped));
    assert_eq!(world.machine.count(AXAS_FRAME_TABLE), 1);
    world.close();
}

#[test]
fn translate_beside_an_unmap_says_before_or_after() {
    explore(|| translate_beside_unmap(World::watched(0)));
}

#[test]
fn translate_beside_a_fault_and_an_unmap_says_before_or_after() {
    explore(|| {
        let world = World::watched(0);
        world.map_linear(0, LINEAR, PAGE, RW).expect("mapped");
        world.map_alloc(PAGE, PAGE, RW).expect("reserved");
        let reader = translate_on(&world, 0);
        let fault = on_cpu(0, {
            let world = world.clone();
            move || world.fault(PAGE, AXAS_WRITE)
        });
        world.unmap(0, LARGE).expect("unmapped");
        assert_before_or_after(reader.join().unwrap(), LINEAR);
        let verdict = fault.join().unwrap();
        assert!(
            matches!(verdict, Verdict::Resolved | Verdict::Retry | Verdict::Unmapped),
            "{verdict:?}"
        );
        assert_eq!(world.machine.count(AXAS_FRAME_TABLE), 1);
        world.close();
    });
}

#[test]
fn translate_without_the_lock_beside_an_unmap_says_before_or_after() {
    explore(|| translate_beside_unmap(World::readable(0)));
}

#[test]
fn query_beside_a_protect_says_before_or_after() {
    explore(|| {
        let world = World::watched(0);
        world.map_linear(0, LINEAR, 2 * PAGE, RW).expect("mapped");
        let reader = on_cpu(1, {
            let world = world.clone();
            move || world.query(0).expect("in the space")
        });
        world.protect(0, PAGE, AXAS_READ).expect("protected");
        let found = reader.join().unwrap();
        assert_eq!(found.hpa, LINEAR);
        assert!(matches!(found.flags, RW | AXAS_READ), "{:#x}", found.flags);
        world.close();
    });
}

/// A large page is cut while another part of it is looked for.
fn translate_beside_split(world: Arc<World>) {
    world.map_linear(0, LINEAR, LARGE, RW).expect("mapped");
    let reader = translate_on(&world, PAGE);
    world.unmap(0, PAGE).expect("unmapped");
    assert_eq!(reader.join().unwrap(), Ok(LINEAR + PAGE));
    world.close();
}

#[test]
fn translate_beside_a_split_finds_the_page() {
    explore(|| translate_beside_split(World::watched(AXAS_FEATURE_ARM_BBM2)));
}

#[test]
fn translate_without_the_lock_beside_a_split_finds_the_page() {
    explore(|| translate_beside_split(World::readable(0)));
}

#[test]
fn translate_without_the_lock_beside_a_fault_finds_its_frame_or_nothing() {
    explore(|| {
        let world = World::readable(0);
        world.map_alloc(0, LARGE, RW).expect("reserved");
        let reader = translate_on(&world, 0);
        assert_eq!(world.fault(0, AXAS_WRITE), Verdict::Resolved);
        let frame = world.frame_at(0);
        assert_before_or_after(reader.join().unwrap(), frame);
        world.close();
    });
}

#[test]
fn translate_without_the_lock_beside_a_discard_finds_the_old_frame_or_nothing() {
    explore(|| {
        let world = World::readable(0);
        world.map_alloc(0, LARGE, RW).expect("reserved");
        assert_eq!(world.fault(0, AXAS_WRITE), Verdict::Resolved);
        let frame = world.frame_at(0);
        let reader = translate_on(&world, 0);
        world.discard(0, LARGE).expect("discarded");
        assert_before_or_after(reader.join().unwrap(), frame);
        assert_eq!(world.machine.count(AXAS_FRAME_GUEST), 0);
        world.close();
    });
}

/// A fault puts two tables and a page below an entry that another CPU looks at.
fn look_beside_fault(world: Arc<World>, look: impl FnOnce(&World) + 'static) {
    world.map_alloc(0, HUGE, RW).expect("reserved");
    let looking = on_cpu(1, {
        let world = world.clone();
        move || look(&world)
    });
    assert_eq!(world.fault(0, AXAS_WRITE), Verdict::Resolved);
    looking.join().unwrap();
    world.close();
}

#[test]
fn a_walk_beside_a_fault_reads_tables_after_they_were_written() {
    explore(|| {
        look_beside_fault(World::watched(0), |world| {
            let mut bytes = 0;
            let add = &mut |run: &axas_mapping_t| {
                bytes += run.size;
                true
            };
            world.for_each(0, HUGE, add).expect("walked");
            assert_eq!(bytes, HUGE, "something is neither reserved nor there");
        });
    });
}

#[test]
fn an_audit_under_the_hosts_lock_reads_tables_after_they_were_written() {
    explore(|| {
        look_beside_fault(World::locked_by_host(), |world| {
            world.audit().expect("as the library writes them");
        });
    });
}

/// The first words of two neighbouring pages, as a copy finds them.
fn copy_first_words(world: &World, gpa: u64) -> [u64; 2] {
    let access = Access::new(Permissions::READ, 0).expect("an access");
    let mut words = [u64::MAX; 2];
    let mut done = 0;
    world
        .for_each_chunk(gpa, 2 * PAGE, access, &mut done, &mut |chunk| {
            for offset in (0..chunk.bytes()).step_by(PAGE as usize) {
                let page = (chunk.gpa - gpa) / PAGE + offset as u64 / PAGE;
                words[page as usize] = word_of(chunk.host().wrapping_add(offset));
            }
            Ok(true)
        })
        .expect("copied");
    words
}

#[test]
fn a_copy_beside_a_fault_on_the_next_page_reads_zeroes() {
    explore(|| {
        let world = World::with_contents();
        world.map_alloc(0, LARGE, RW).expect("reserved");
        // The tables are there, so that the frames of the next two pages lie side by side.
        assert_eq!(world.fault(2 * PAGE, AXAS_READ), Verdict::Resolved);
        assert_eq!(world.fault(0, AXAS_READ), Verdict::Resolved);
        let copy = on_cpu(1, {
            let world = world.clone();
            move || copy_first_words(&world, 0)
        });
        let verdict = world.fault(PAGE, AXAS_WRITE);
        assert_eq!(copy.join().unwrap(), [0, 0], "another guest's data");
        assert!(matches!(verdict, Verdict::Resolved | Verdict::Spurious), "{verdict:?}");
        world.close();
    });
}

#[test]
fn a_copy_beside_a_fault_without_windows_reads_what_the_host_left_in_its_frame() {
    explore(|| {
        let world = World::direct();
        // The table is there.
        world.map_alloc(0, 2 * PAGE, RW).expect("reserved");
        let copy = on_cpu(1, {
            let world = world.clone();
            move || copy_first_words(&world, 0)
        });
        let verdict = world.fault(PAGE, AXAS_WRITE);
        assert_eq!(copy.join().unwrap(), [SECRET; 2]);
        assert!(matches!(verdict, Verdict::Resolved | Verdict::Spurious), "{verdict:?}");
        world.close();
    });
}

/// Writes a word to the first page, as a copy does.
fn write_first_word(world: &World, word: u64) {
    let access = Access::filling(0).expect("an access");
    let mut done = 0;
    world
        .for_each_chunk(0, PAGE, access, &mut done, &mut |chunk| {
            set_word_of(chunk.host(), word);
            Ok(true)
        })
        .expect("written");
    assert_eq!(done, PAGE);
}

#[test]
fn a_page_beside_a_fault_comes_with_what_is_written_to_it() {
    const WRITTEN: u64 = 0x77;
    explore(|| {
        let world = World::with_contents();
        world.map_alloc(0, LARGE, RW).expect("reserved");
        let vcpu = on_cpu(1, {
            let world = world.clone();
            move || {
                let verdict = world.fault(0, AXAS_READ);
                (verdict, world.guest_word(0))
            }
        });
        write_first_word(&world, WRITTEN);
        let (verdict, word) = vcpu.join().unwrap();
        match verdict {
            // Its own page, which the host writes to before or after it looks.
            Verdict::Resolved => assert!(word == 0 || word == WRITTEN, "{word:#x}"),
            Verdict::Spurious => assert_eq!(word, WRITTEN, "a page without its contents"),
            other => panic!("{other:?}"),
        }
        assert_eq!(world.guest_word(0), WRITTEN, "what was written is lost");
        world.close();
    });
}
