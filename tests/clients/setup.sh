#!/bin/sh
# Installs the clients under test into this folder, unless they are there in the wanted versions.
# A language whose interpreter is missing is left out.
set -eu
cd "$(dirname "$0")"

if command -v python3 >/dev/null 2>&1; then
    if ! cmp -s requirements.txt .venv/installed.txt; then
        python3 -m venv .venv
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
        cp requirements.txt .venv/installed.txt
    fi
fi

if command -v npm >/dev/null 2>&1; then
    if ! cmp -s package-lock.json node_modules/installed.json; then
        npm ci --silent --no-audit --no-fund
        cp package-lock.json node_modules/installed.json
    fi
fi
