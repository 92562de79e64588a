package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
)

// plot draws each target's value in multiples of its bound, on a logarithmic axis. Values up to 1 meet the
// target. Hollow dots are the older build.
func (r *report) plot() []byte {
	const left, right, top, line, width = 520, 40, 50, 22, 1000
	lines, least, most := 0, 0.25, 4.0
	for _, row := range r.Rows {
		for _, t := range row.Targets {
			lines++
			least, most = min(least, t.distance(t.Value)), max(most, t.distance(t.Value))
			if t.Older != nil {
				least, most = min(least, t.distance(*t.Older)),
					max(most, t.distance(*t.Older))
			}
		}
	}
	low, high := math.Floor(math.Log2(least)), math.Ceil(math.Log2(most))
	x := func(v float64) float64 {
		return left + (math.Log2(min(max(v, math.Exp2(low)), math.Exp2(high)))-low)/(high-low)*(width-left-right)
	}
	var out bytes.Buffer
	text := func(x float64, y int, anchor, words string) {
		fmt.Fprintf(&out, `<text x="%.1f" y="%d" text-anchor="%s">`, x, y, anchor)
		xml.EscapeText(&out, []byte(words))
		out.WriteString("</text>\n")
	}
	stroke := func(x1 float64, y1 int, x2 float64, y2 int, color string) {
		fmt.Fprintf(&out, `<path d="M%.1f %dL%.1f %d" stroke="%s"/>`+"\n", x1, y1, x2, y2, color)
	}
	dot := func(x float64, y int, fill, color string) {
		fmt.Fprintf(&out, `<circle cx="%.1f" cy="%d" r="5" fill="%s" stroke="%s"/>`+"\n", x, y,
			fill, color)
	}
	height := top + line*lines + 30
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d"`, width, height)
	out.WriteString(` font-family="sans-serif" font-size="12">` + "\n")
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	title := "In multiples of the target: 1 and less meet it. Build " + r.Build
	if r.Older != "" {
		title += "; hollow: " + r.Older
	}
	text(10, 20, "start", title)
	for e := low; e <= high; e++ {
		at, color := x(math.Exp2(e)), "#ddd"
		if e == 0 {
			color = "#333"
		}
		stroke(at, top-10, at, height-25, color)
		text(at, height-10, "middle", digits(math.Exp2(e)))
	}
	y := top + line/2
	for _, row := range r.Rows {
		for _, t := range row.Targets {
			color := "#c0392b"
			if t.Met {
				color = "#1e8449"
			}
			text(left-12, y+4, "end", row.Name+": "+t.What)
			if t.Older != nil {
				dot(x(t.distance(*t.Older)), y, "white", "#555")
			}
			stroke(x(t.distance(t.Low)), y, x(t.distance(t.High)), y, color)
			dot(x(t.distance(t.Value)), y, color, color)
			y += line
		}
	}
	out.WriteString("</svg>\n")
	return out.Bytes()
}

// distance is a value in multiples of the bound, or the inverse if the bound is a minimum.
func (t *target) distance(value float64) float64 {
	if t.AtLeast {
		return t.Limit / max(value, 1e-9)
	}
	return max(value, 1e-9) / t.Limit
}
