// SPDX-License-Identifier: MIT OR Apache-2.0
//! A space on a [`Host`], with what the host must find afterwards.

use std::ops::Deref;
use std::ptr::NonNull;

use axaddrspace::abi::*;
use axaddrspace::address_space::AddressSpace;
use axaddrspace::error::Error;

use crate::host::Host;

/// What a space is made of; zero is the library's choice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    pub format: u32,
    pub levels: u32,
    pub gpa_bits: u32,
    pub pa_bits: u32,
    pub base: u64,
    pub size: u64,
    pub features: u32,
    pub options: u32,
    pub table_quota: u32,
    pub wants_released: bool,
}

#[repr(align(128))]
struct Storage([u8; AXAS_STORAGE_SIZE as usize]);

/// A live space, its storage and its host.
pub struct Space {
    place: NonNull<AddressSpace>,
    _storage: Box<Storage>,
    host: Host,
}

impl Space {
    pub fn try_new(host: Host, machine: &Machine) -> Result<Self, Error> {
        let config = axas_config_t {
            struct_size: size_of::<axas_config_t>() as u32,
            format: machine.format,
            levels: machine.levels,
            gpa_bits: machine.gpa_bits,
            pa_bits: machine.pa_bits,
            base: machine.base,
            size: machine.size,
            features: machine.features,
            options: machine.options,
            table_quota: machine.table_quota,
            vmid: 9,
            ..axas_config_t::default()
        };
        const MOST_LEVELS: u32 = 5;
        let levels = if machine.levels == 0 { MOST_LEVELS } else { machine.levels };
        let hal = host.hal(levels, machine.wants_released);
        let mut storage = Box::new(Storage([0xa5; AXAS_STORAGE_SIZE as usize]));
        let (bytes, address) = (storage.0.len(), storage.0.as_mut_ptr());
        // SAFETY: the storage is large enough and lives until the space is destroyed or forgotten.
        let created = unsafe { AddressSpace::create_in(address, bytes, &config, &hal) };
        match created {
            Ok(place) => Ok(Self { place, _storage: storage, host }),
            Err(error) => {
                assert_eq!(host.live(), (0, 0), "a space that failed kept frames");
                assert_eq!(host.violations(), [""; 0]);
                Err(error)
            }
        }
    }

    pub fn new(host: Host, machine: &Machine) -> Self {
        Self::try_new(host, machine).unwrap_or_else(|error| panic!("{error:?}: {machine:?}"))
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Destroys the space: every frame must be back.
    pub fn finish(self) {
        // SAFETY: the space is live and nobody uses it after this.
        unsafe { AddressSpace::destroy(self.place) };
        assert_eq!(self.host.live(), (0, 0), "frames are lost");
        assert_eq!(self.host.violations(), [""; 0]);
    }
}

impl Deref for Space {
    type Target = AddressSpace;

    fn deref(&self) -> &AddressSpace {
        // SAFETY: the space is live, and only shared references to it exist.
        unsafe { self.place.as_ref() }
    }
}
