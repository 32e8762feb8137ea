package main

import (
	"fmt"
	"strings"
)

// The clients in the picture, and how it names them.
var drawn = []struct{ column, label string }{
	{colSafe, "net/http by hand"},
	{colTuned, "resty, tuned"},
	{colResty, "resty"},
	{colOurs, "apig"},
	{colOursKeys, "apig, AK/SK"},
	{colOfficial, "official SDK, AK/SK"},
}

// Measures of the picture, in pixels.
const (
	labelWidth = 150
	panelWidth = 300
	valueWidth = 50 // behind the longest bar
	barHeight  = 18
	rowHeight  = 28
	topHeight  = 40
)

// style is readable on white and on black, and follows the reader's theme where the
// viewer tells it.
const style = `<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.bar { fill: #8c959f }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .bar { fill: #6e7681 }
  .ours { fill: #4493f8 }
}
</style>
`

// picture draws what a publish costs as bars, in SVG: allocations on the left, CPU
// beside hand-written code on the right.
func picture(t *table) (string, error) {
	width, height := labelWidth+2*panelWidth, topHeight+rowHeight*len(drawn)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">`+"\n", width, height)
	b.WriteString("<title>What a publish costs: allocations, and CPU beside net/http by hand</title>\n" + style)
	for i, d := range drawn {
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n",
			labelWidth-10, baselineOf(i), d.label)
	}
	err := panel(&b, t, labelWidth, rowPublish+": allocations", "allocations a publish", amount)
	if err != nil {
		return "", err
	}
	err = panel(&b, t, labelWidth+panelWidth, rowPublish+": CPU ratio", "CPU a publish, net/http by hand = 1",
		func(v float64) string { return fmt.Sprintf("%.1f", v) })
	b.WriteString("</svg>\n")
	return b.String(), err
}

// panel draws the bars of one row of the table, from x on.
func panel(b *strings.Builder, t *table, x int, row, title string, text func(float64) string) error {
	values := make([]float64, len(drawn))
	longest := 0.0
	for i, d := range drawn {
		c, ok := t.cells[place{row, d.column}]
		if !ok {
			return fmt.Errorf("the picture needs %q of %s, which was not measured", row, d.column)
		}
		values[i] = c.value
		longest = max(longest, c.value)
	}
	fmt.Fprintf(b, `<text class="title" x="%d" y="20">%s</text>`+"\n", x, title)
	for i, d := range drawn {
		length := values[i] / longest * (panelWidth - valueWidth)
		class := "bar"
		if strings.HasPrefix(d.label, "apig") {
			class = "bar ours"
		}
		fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n",
			class, x, topHeight+i*rowHeight, length, barHeight)
		fmt.Fprintf(b, `<text x="%.1f" y="%d">%s</text>`+"\n", float64(x)+length+6, baselineOf(i), text(values[i]))
	}
	return nil
}

// baselineOf is where the text of the i-th row stands.
func baselineOf(i int) int { return topHeight + i*rowHeight + barHeight - 4 }
