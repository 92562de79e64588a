// Grafana writes the dashboard bpfviewfs.json: go generate ./packaging/grafana. Its types are those of
// Grafana, so a field that Grafana does not know does not compile.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

//go:generate sh -c "go run . >bpfviewfs.json"

func main() {
	text, err := render()
	if err == nil {
		_, err = os.Stdout.Write(text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "grafana:", err)
		os.Exit(1)
	}
}

// source is the Prometheus server that the user of the dashboard chooses.
var source = common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}

func render() ([]byte, error) {
	//lint:ignore SA1019 Every version of Grafana imports this form, and the next one only new versions.
	b := dashboard.NewDashboardBuilder("cgroups (bpfviewfs)").
		Uid("bpfviewfs").
		Description("Every cgroup of some machines, as bpfviewfs exporter serves them.").
		Tags([]string{"bpfviewfs", "cgroup"}).
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Time("now-1h", "now").
		Refresh("1m").
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Prometheus").
			Type("prometheus")).
		WithVariable(values("job", `label_values(bpfview_exporter_up, job)`)).
		WithVariable(values("instance", `label_values(bpfview_exporter_up{job=~"$job"}, instance)`)).
		WithVariable(dashboard.NewTextBoxVariableBuilder("cgroup").
			Description("Regular expression of the paths of cgroups, for example /system.slice/.+").
			DefaultValue(dashboard.StringOrMap{String: cog.ToPtr("/.+")})).
		WithVariable(dashboard.NewTextBoxVariableBuilder("top").Label("lines").
			Description("The most lines of a panel").
			DefaultValue(dashboard.StringOrMap{String: cog.ToPtr("10")}))
	for _, r := range rows {
		b.WithRow(dashboard.NewRowBuilder(r.title))
		for _, p := range r.panels {
			b.WithPanel(p.build())
		}
	}
	board, err := b.Build()
	if err == nil {
		err = board.Validate()
	}
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(board, "", "  ")
	return append(text, '\n'), err
}

// values is a variable for any number of a label's values, all at first.
func values(name, query string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).
		Query(dashboard.StringOrMap{String: &query}).
		Datasource(source).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortNaturalAsc).
		Multi(true).IncludeAll(true).AllValue(".+").
		Current(dashboard.VariableOption{
			Text:  dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
			Value: dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
		})
}

// build returns the panel in Grafana's types.
func (p panel) build() cog.Builder[dashboard.Panel] {
	switch p.kind {
	case number:
		b := stat.NewPanelBuilder().Title(p.title).Description(p.help).Datasource(source).Unit(p.unit).
			Span(4).Height(4).GraphMode(common.BigValueGraphModeArea).
			ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}))
		if p.bad != nil {
			b.Thresholds(dashboard.NewThresholdsConfigBuilder().
				Mode(dashboard.ThresholdsModeAbsolute).Steps(p.bad))
		}
		for i, q := range p.queries {
			b.WithTarget(q.build(i))
		}
		return b
	case spread:
		b := heatmap.NewPanelBuilder().Title(p.title).Description(p.help).Datasource(source).
			Span(12).Height(8).YAxis(heatmap.NewYAxisConfigBuilder().Unit(p.unit))
		for i, q := range p.queries {
			b.WithTarget(q.build(i).Format(prometheus.PromQueryFormatHeatmap))
		}
		return b
	}
	b := timeseries.NewPanelBuilder().Title(p.title).Description(p.help).Datasource(source).Unit(p.unit).
		Span(12).Height(8).Min(0).FillOpacity(8).ShowPoints(common.VisibilityModeNever).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).
			Sort(common.SortOrderDescending)).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeTable).
			Placement(common.LegendPlacementBottom).ShowLegend(true).
			Calcs([]string{"lastNotNull", "max"}).SortBy("Last *").SortDesc(true))
	for i, q := range p.queries {
		b.WithTarget(q.build(i))
	}
	return b
}

func (q query) build(i int) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().RefId(string(rune('A' + i))).Datasource(source).
		Expr(q.expr).LegendFormat(q.legend).Range()
}

// above colours a number that is at least bad.
func above(bad float64) []dashboard.Threshold {
	return []dashboard.Threshold{{Color: "green"}, {Value: &bad, Color: "red"}}
}

const perCent, bytes, seconds, short = units.PercentUnit, units.BytesIEC, units.Seconds, units.Short
