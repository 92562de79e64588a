#!/bin/bash
# Guess:     Prometheus can read the page of OpenTelemetry's exporter for JavaScript, whatever attributes and
#            instruments are called. Attributes disk.name and disk_name of one sample are joined by a
#            semicolon, as the specification of OpenTelemetry says and as the exporter for Go does.
# Behaviour: it makes underscores of the dots and does not look for another label of that name, so that a
#            sample has the label twice. The instruments queue.depth and queue_depth become two families of
#            one name. The page is answered with 200 and no word. promtool refuses it from that line on, and
#            with it all metrics that come later.
# Versions:  npm @opentelemetry/exporter-prometheus 0.223.0, @opentelemetry/sdk-metrics 2.12.1 (Node.js 20);
#            Debian 12: prometheus 2.42.0+ds-5+deb12u1 (promtool). Needs npm, node and apt.
# Seen:      attributes: 200 requests_total{disk_name="sda",disk_name="sdb"} 1
#            promtool: text format parsing error in line 3: duplicate label names for metric "requests_total"
#            instruments: 200 queue_depth 1 queue_depth 2
#            promtool: text format parsing error in line 4: second HELP line for metric name "queue_depth"
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -qq download prometheus=2.42.0+ds-5+deb12u1 2>/dev/null
dpkg-deb -x ./*.deb root
npm install --silent --no-audit --no-fund --ignore-scripts --save-exact \
	@opentelemetry/exporter-prometheus@0.223.0 @opentelemetry/sdk-metrics@2.12.1 @opentelemetry/api@1.9.0 >log 2>&1
cat >page.js <<'END'
const http = require('http');
const { writeFileSync } = require('fs');
const { MeterProvider } = require('@opentelemetry/sdk-metrics');
const { PrometheusExporter } = require('@opentelemetry/exporter-prometheus');

async function page(what, use) {
	const reader = new PrometheusExporter({ preventServerStart: true, withoutScopeInfo: true, withoutTargetInfo: true });
	use(new MeterProvider({ readers: [reader] }).getMeter('example'));
	const server = http.createServer((request, answer) => reader.getMetricsRequestHandler(request, answer));
	await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
	const answer = await fetch(`http://127.0.0.1:${server.address().port}/metrics`);
	const text = await answer.text();
	server.close();
	writeFileSync(`${what}.prom`, text);
	const samples = text.split('\n').filter((line) => line && !line.startsWith('#'));
	console.log(`${what}: ${answer.status} ${samples.join(' ')}`);
}

(async () => {
	await page('attributes', (meter) => {
		meter.createCounter('requests').add(1, { 'disk.name': 'sda', disk_name: 'sdb' });
	});
	await page('instruments', (meter) => {
		meter.createUpDownCounter('queue.depth').add(1);
		meter.createUpDownCounter('queue_depth').add(2);
	});
})();
END
node page.js >pages
while read -r line; do
	echo "$line"
	status=0
	root/usr/bin/promtool check metrics <"${line%%:*}.prom" 2>said || status=$?
	[ $status = 1 ]
	echo "promtool: $(sed 's/.*linting: //' said)"
done <pages >seen
cat seen

diff - seen <<'END'
attributes: 200 requests_total{disk_name="sda",disk_name="sdb"} 1
promtool: text format parsing error in line 3: duplicate label names for metric "requests_total"
instruments: 200 queue_depth 1 queue_depth 2
promtool: text format parsing error in line 4: second HELP line for metric name "queue_depth"
END
