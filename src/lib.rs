pub mod abi; mod ffi;
