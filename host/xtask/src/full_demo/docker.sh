#!/bin/sh
# Stands in for the docker client where no container engine runs. It runs things on this very machine, and says so.
echo "stand-in docker: no container engine runs here, so this runs on the machine itself" >&2
case $1 in
version) echo "0-stand-in" ;;
info) echo "0-stand-in" ;;
inspect) echo "running" ;;
exec)
    shift
    while [ "${1#-}" != "$1" ]; do shift; done
    shift
    exec "$@"
    ;;
*)
    echo "stand-in docker: it has no '$1'" >&2
    exit 125
    ;;
esac
