// SPDX-License-Identifier: MIT OR Apache-2.0
//! Exclusive calls beside exclusive calls.

use super::host::{LARGE, LINEAR, PAGE, RW, World};
use super::{explore, on_cpu};
use crate::abi::*;
use crate::error::Error;

#[test]
fn a_map_and_an_unmap_in_one_table_are_both_done() {
    explore(|| {
        let world = World::watched(0);
        world.map_linear(0, LINEAR, PAGE, RW).expect("mapped");
        let other = on_cpu(1, {
            let world = world.clone();
            move || world.unmap(0, PAGE)
        });
        assert_eq!(world.map_linear(PAGE, LINEAR + LARGE, PAGE, RW), Ok(()));
        assert_eq!(other.join().unwrap(), Ok(()));
        assert_eq!(world.translate(0), Err(Error::NotMapped));
        assert_eq!(world.translate(PAGE).map(|(hpa, _)| hpa), Ok(LINEAR + LARGE));
        world.close();
    });
}

#[test]
fn of_two_maps_of_one_page_one_is_told_that_something_is_there() {
    explore(|| {
        let world = World::watched(0);
        let other = on_cpu(1, {
            let world = world.clone();
            move || world.map_linear(0, LINEAR, PAGE, RW)
        });
        let outcomes = [world.map_alloc(0, PAGE, RW), other.join().unwrap()];
        assert!(outcomes.contains(&Ok(())), "{outcomes:?}");
        assert!(outcomes.contains(&Err(Error::AlreadyExists)), "{outcomes:?}");
        let expected = if outcomes[0].is_ok() { AXAS_STATE_RESERVED } else { AXAS_STATE_LINEAR };
        assert_eq!(world.query(0).expect("in the space").state, expected);
        world.close();
    });
}
