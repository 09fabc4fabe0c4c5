# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What every shell test sources. A test prints TAP and ends with done_testing:
#
#   . "$(dirname "$0")/../virt/lab"; lab_enter "$@"      (only a test that needs libvirt; before this file)
#   . "$(dirname "$0")/../functions.sh"
#   requires root libvirt
#   try "virsh answers" virsh uri
#   is "1" "$(virsh list --name --all | grep -c web1)" "one guest"
#   done_testing
#
# Variables: $tests (this folder), $scratch (an empty folder, removed at the end), $PAGEVAULT (the program under test).

set -u
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d "${LAB_DIR:-${TMPDIR:-/tmp}}/test.XXXXXX") || exit 1
chmod 0711 "$scratch"   # QEMU runs as another user
: "${PAGEVAULT:=$(command -v pagevault || true)}"
export PAGEVAULT tests scratch

tap_count=0 tap_failed=0 tap_done='' tap_hooks=()

diag ()
{
  sed 's/^/# /'
}

ok ()
{
  tap_count=$((tap_count + 1))
  echo "ok $tap_count - $*"
}

# not_ok DESCRIPTION: what is on the standard input says why; give </dev/null when there is nothing to say.
not_ok ()
{
  tap_count=$((tap_count + 1)) tap_failed=$((tap_failed + 1))
  echo "not ok $tap_count - $*"
  diag
}

# try DESCRIPTION COMMAND…: passes when the command succeeds. Its output is in $scratch/output.
try ()
{
  local status=0
  "${@:2}" >"$scratch/output" 2>&1 || status=$?
  if [ $status = 0 ]; then
    ok "$1"
  else
    { echo "exit status $status of: ${*:2}"; cat "$scratch/output"; } >"$scratch/why"
    not_ok "$1" <"$scratch/why"
  fi
}

# refuse DESCRIPTION COMMAND…: passes when the command fails, but neither by a signal nor for not being there.
refuse ()
{
  local status=0
  "${@:2}" >"$scratch/output" 2>&1 || status=$?
  if [ $status -gt 0 ] && [ $status -lt 126 ]; then
    ok "$1"
  else
    { echo "exit status $status of: ${*:2}"; cat "$scratch/output"; } >"$scratch/why"
    not_ok "$1" <"$scratch/why"
  fi
}

# is WANTED FOUND DESCRIPTION
is ()
{
  if [ "$1" = "$2" ]; then
    ok "$3"
  else
    not_ok "$3" <<<"wanted: $1"$'\n'"found:  $2"
  fi
}

# like PATTERN TEXT DESCRIPTION: an extended regular expression found in the text.
like ()
{
  if grep -Eq -- "$1" <<<"$2"; then
    ok "$3"
  else
    not_ok "$3" <<<"no match for: $1"$'\n'"in: $2"
  fi
}

# inapplicable DESCRIPTION REASON: this host's kernel, QEMU or libvirt has no such thing, whatever were installed.
inapplicable ()
{
  tap_count=$((tap_count + 1))
  echo "ok $tap_count - $1 # SKIP n/a: $2"
}

# skip DESCRIPTION REASON: not tested because something is missing that could be there. Where everything must run
# (PAGEVAULT_TEST_MUST_RUN) this fails.
skip ()
{
  if [ -n "${PAGEVAULT_TEST_MUST_RUN:-}" ]; then
    not_ok "$1" <<<"skipped here, where everything must run: $2"
  else
    tap_count=$((tap_count + 1))
    echo "ok $tap_count - $1 # SKIP $2"
  fi
}

tap_missing ()
{
  case $1 in
    root) [ "$(id -u)" != 0 ] ;;
    pagevault) [ ! -x "${PAGEVAULT:-}" ] ;;
    lab) [ -z "${PAGEVAULT_IN_LAB:-}" ] ;;
    *) ! command -v "$1" >/dev/null ;;
  esac
}

# requires WHAT…: root, pagevault, lab, or a program. What is missing skips the whole test.
requires ()
{
  local what
  for what; do
    tap_missing "$what" || continue
    if [ -n "${PAGEVAULT_TEST_MUST_RUN:-}" ]; then
      echo "Bail out! $what is missing here, where everything must run"
      tap_done=1
      exit 1
    fi
    echo "1..0 # SKIP $what is missing"
    tap_done=1
    exit 0
  done
}

# on_exit COMMAND…: run when the test ends, however it ends; newest first.
on_exit ()
{
  tap_hooks=("$(printf '%q ' "$@")" "${tap_hooks[@]+"${tap_hooks[@]}"}")
}

# The last thing in a test.
done_testing ()
{
  echo "1..$tap_count"
  tap_done=1
  [ $tap_failed = 0 ]
  exit
}

tap_end ()
{
  local status=$? hook
  trap '' INT TERM
  for hook in "${tap_hooks[@]+"${tap_hooks[@]}"}"; do
    eval "$hook" >&2
  done
  rm -rf --one-file-system "$scratch"
  if [ -z "$tap_done" ]; then
    echo "Bail out! the test ended early, status $status"
    status=1
  fi
  exit "$status"
}

trap tap_end EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
