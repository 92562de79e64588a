#!/bin/bash
# Guess:     npm's parse-prometheus-text-format, whose output is meant to be that of prom2json, gives each
#            series of a histogram or summary with its labels, its count and its sum.
# Behaviour: a histogram or summary becomes one entry with the buckets or quantiles alone. If its series have
#            labels, the last series of the page takes the place of the others, and its labels, count and sum
#            are left out. So 3 disks show the latencies of one, and which one depends on their order. There
#            is no error. Without labels, as in the README, and for counters all is well.
# Versions:  npm parse-prometheus-text-format 1.1.1 (Node.js 20). Needs npm and node.
# Seen:      unlabelled: [{"buckets":{"1":"7","+Inf":"9"},"count":"9","sum":"12"}]
#            labelled: [{"buckets":{"1":"5","+Inf":"6"}}]
#            summary: [{"quantiles":{"0.5":"0.4"}}]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts --save-exact parse-prometheus-text-format@1.1.1 >log 2>&1
cat >parse.js <<'END'
const parse = require('parse-prometheus-text-format');

function show(what, page) {
	const [family] = parse(page.trimStart());
	console.log(`${what}: ${JSON.stringify(family.metrics)}`);
}

show('unlabelled', `
# TYPE latency_seconds histogram
latency_seconds_bucket{le="1"} 7
latency_seconds_bucket{le="+Inf"} 9
latency_seconds_sum 12
latency_seconds_count 9
`);
show('labelled', `
# TYPE latency_seconds histogram
latency_seconds_bucket{disk="sda",le="1"} 2
latency_seconds_bucket{disk="sda",le="+Inf"} 3
latency_seconds_sum{disk="sda"} 4
latency_seconds_count{disk="sda"} 3
latency_seconds_bucket{disk="sdb",le="1"} 5
latency_seconds_bucket{disk="sdb",le="+Inf"} 6
latency_seconds_sum{disk="sdb"} 8
latency_seconds_count{disk="sdb"} 6
`);
show('summary', `
# TYPE latency_seconds summary
latency_seconds{disk="sda",quantile="0.5"} 0.2
latency_seconds_sum{disk="sda"} 4
latency_seconds_count{disk="sda"} 3
latency_seconds{disk="sdb",quantile="0.5"} 0.4
latency_seconds_sum{disk="sdb"} 8
latency_seconds_count{disk="sdb"} 6
`);
show('counter', `
# TYPE reads_total counter
reads_total{disk="sda"} 3
reads_total{disk="sdb"} 6
`);
END
node parse.js | tee seen

diff - seen <<'END'
unlabelled: [{"buckets":{"1":"7","+Inf":"9"},"count":"9","sum":"12"}]
labelled: [{"buckets":{"1":"5","+Inf":"6"}}]
summary: [{"quantiles":{"0.5":"0.4"}}]
counter: [{"value":"3","labels":{"disk":"sda"}},{"value":"6","labels":{"disk":"sdb"}}]
END
