# The same entries as `cargo xtask`, for those who use just. Everything is in host/xtask.

# List the tasks
default:
    @just --list

# Find what the other tasks need, and install what is missing
setup:
    cargo xtask setup

# Show the main job on a small project: a suite that passes, and one that fails
demo:
    cargo xtask demo

# Check form, layers, lints and documentation, and run every test; or only the tests whose name contains FILTER
test *FILTER:
    cargo xtask test {{FILTER}}

# Only the fast tests
quick:
    cargo xtask test --quick

# Build the components and lay them beside the programs
components *ARGS:
    cargo xtask components {{ARGS}}

# Build the program with everything that lies beside it
build *ARGS:
    cargo xtask build {{ARGS}}

# Measure against the bare baselines and write docs/benchmarks.md
bench *NAMES:
    cargo xtask bench {{NAMES}}

# Hold the running daemon's HTTP surface against its own document
api:
    cargo xtask api

# Check which crate depends on which
check-layers:
    cargo xtask check-layers

# Format everything
fmt:
    cargo fmt --all
