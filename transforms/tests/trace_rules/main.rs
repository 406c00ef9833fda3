//! The rules of a trace, over the public interface: each by itself, on hostile shapes, and for any
//! order of arrival.

#![cfg(test)]

mod attribution;
mod billing;
mod codec;
mod properties;
mod shapes;
mod timing;
mod twins;
mod world;
