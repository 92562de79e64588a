#!/bin/bash
# Guess:     `systemd-analyze verify` fails if systemd cannot read a line of the unit, so that its exit code
#            is a check for continuous integration.
# Behaviour: a line that systemd would ignore is a warning, and the exit code is 0: a limit with a wrong unit
#            (1GB for 1G), a misspelt key, a switch that is neither yes nor no. The service then runs
#            without the limit and is not restarted. Only a program that is not there gives 1. The option
#            --recursive-errors makes all of them 1, also with "no", which by its name is less strict.
# Versions:  systemd 252 of Debian 12. Needs systemd-analyze.
# Seen:      MemoryMax=1GB: exit 0, with --recursive-errors=no 1
#            Restrat=always: exit 0, with --recursive-errors=no 1
#            NoNewPrivileges=maybe: exit 0, with --recursive-errors=no 1
#            ExecStartPre=/missing: exit 1, with --recursive-errors=no 1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
verify() { # OPTION...
	systemd-analyze verify "$@" ./tool.service >>log 2>&1 && echo 0 || echo $?
}
for line in MemoryMax=1GB Restrat=always NoNewPrivileges=maybe ExecStartPre=/missing; do
	cat >tool.service <<-END
		[Unit]
		Description=a tool
		[Service]
		ExecStart=/bin/true
		$line
	END
	echo "$line: exit $(verify), with --recursive-errors=no $(verify --recursive-errors=no)"
done | tee seen

diff - seen <<'END'
MemoryMax=1GB: exit 0, with --recursive-errors=no 1
Restrat=always: exit 0, with --recursive-errors=no 1
NoNewPrivileges=maybe: exit 0, with --recursive-errors=no 1
ExecStartPre=/missing: exit 1, with --recursive-errors=no 1
END
