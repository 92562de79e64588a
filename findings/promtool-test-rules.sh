#!/bin/bash
# Guess:     `promtool test rules` fails when a test names an alert that no rule file has, and it
#            evaluates a group at the group's own interval.
# Behaviour: a test that expects no alert named DiskFull passes although there is no such rule, so a
#            misspelt name tests nothing. The interval of the group, an hour here, is ignored: an
#            alert with "for: 5m" fires ten minutes after the start, where a server would have
#            looked once.
# Versions:  Debian 12: prometheus 2.42.0+ds-5+deb12u1 (promtool). Needs apt.
# Seen:      SUCCESS, exit 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -qq download prometheus=2.42.0+ds-5+deb12u1 2>/dev/null
dpkg-deb -x ./*.deb root
cat >rules.yml <<'END'
groups:
- name: hosts
  interval: 1h
  rules:
  - alert: HostDown
    expr: up == 0
    for: 5m
END
cat >test.yml <<'END'
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series: [{series: 'up{job="node"}', values: '0x20'}]
  alert_rule_test:
  - {eval_time: 10m, alertname: DiskFull, exp_alerts: []}
  - {eval_time: 10m, alertname: HostDown, exp_alerts: [{exp_labels: {job: node}}]}
END
status=0
root/usr/bin/promtool test rules test.yml >said 2>&1 || status=$?
echo "$(grep -o SUCCESS said), exit $status"
[ $status = 0 ] && grep -q SUCCESS said
