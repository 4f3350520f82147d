//! The host program: wiring of the parts, and the surfaces that people and scripts use.
//!
//! Rules live in `engine`, durable state in `store`, git in `repository`, enforcement in `capability` and
//! `sandbox`. This crate brings them together: who this instance is ([`instance`]), where its state lies
//! ([`state`]), what dead instances left ([`recovery`]), and how one claimed job is taken from its clone to
//! a verdict ([`worker`]) and from there, by way of its effects, to its new stage ([`transition`]), as long as its branch is
//! what was examined ([`branch`]). It decides nothing about a task by itself and writes a stage only through the store's one
//! function.

pub mod actor;
mod begin;
pub mod branch;
pub mod cli;
pub mod clock;
pub mod component;
pub mod config;
mod crash;
pub mod effect;
pub mod exit;
pub mod host;
mod http;
pub mod installation;
pub mod instance;
pub mod llm_map;
pub mod logging;
pub mod operator;
pub mod programs;
pub mod recovery;
mod release;
mod service;
pub mod state;
pub mod transition;
mod view;
pub mod worker;
