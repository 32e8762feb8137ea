package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The columns of the table.
const (
	byHand = iota
	restyPlain
	restyTuned
	official
	ours
	columns
)

var columnNames = [columns]string{"net/http by hand", "resty", "resty, tuned", "official SDK, AK/SK", "apig"}

// The rows with a budget, or what they begin with.
const (
	rowPublish   = "a publish"
	rowKeys      = "a publish with AK/SK"
	rowLong      = "a publish with a token of 4,000 bytes"
	rowRefused   = "a 404"
	rowBatch     = "an API in a batch of 1,000"
	row64        = "64 at a time, an API each: calls/s beside net/http"
	row8         = "8 at a time, one API: calls/s beside net/http"
	rowMemory    = "memory held for an API after its call, bytes"
	rowGrowBatch = "an API in a batch of 100,000, beside one of 1,000"
	rowGrowMany  = "one of 100,000 publishes at once, beside 1,000"
	rowGrowOne   = "one of 100,000 publishes of one API at once, beside 1,000"
	rowGrowList  = "a row in a list of 100,000, beside one of 1,000"
	rowOwn       = "vendored lines of its own"
)

// budget is the most that this library may cost, or the least that it must reach.
type budget struct {
	row   string
	limit float64
	least bool    // the value is to be above it
	timed bool    // it depends on the machine, so -check leaves it out
	held  float64 // what -check allows while the budget is missed; 0: the budget
}

// budgets are never raised. One that is missed is held where it is.
var budgets = []budget{
	{row: rowPublish + ": allocations", limit: 41, held: 47},
	{row: rowKeys + ": allocations", limit: 47, held: 60},
	{row: rowRefused + ": allocations", limit: 40, held: 49},
	{row: rowPublish + ": bytes", limit: 5100, held: 6100},
	{row: rowBatch + ": bytes", limit: 1450},
	{row: rowPublish + ": CPU beside a publish by hand", limit: 1.3, timed: true},
	{row: rowRefused + ": CPU beside a publish by hand", limit: 2.0, timed: true},
	{row: rowLong + ": CPU beside a publish by hand", limit: 1.45, timed: true},
	{row: rowBatch + ": CPU beside a publish by hand", limit: 0.25, timed: true},
	{row: row64, limit: 0.95, least: true, timed: true},
	{row: row8, limit: 0.75, least: true, timed: true},
	{row: rowMemory, limit: 0.5}, // nothing: the heap is not exact to the byte
	{row: rowGrowBatch + ": bytes", limit: 1.1},
	{row: rowGrowMany + ": bytes", limit: 1.1, held: 1.2},
	{row: rowGrowOne + ": bytes", limit: 1.1},
	{row: rowGrowList + ": bytes", limit: 1.1, held: 1.25},
	{row: rowGrowBatch + ": CPU", limit: 1.5, timed: true},
	{row: rowGrowMany + ": CPU", limit: 1.5, timed: true},
	{row: rowGrowOne + ": CPU", limit: 1.5, timed: true},
	{row: rowGrowList + ": CPU", limit: 1.5, timed: true},
	{row: rowOwn, limit: 5700, held: 7100},
}

// within reports whether a value is no worse than a limit. What is measured to a few
// digits is compared so.
func (b budget) within(value, limit float64) bool {
	if b.least {
		return value >= limit-0.005
	}
	return value <= limit+0.005
}

// verdict is the budget beside a value, as it stands in the table.
func (b budget) verdict(value float64) string {
	if b.within(value, b.limit) {
		return "met"
	}
	return "**missed**"
}

// table is everything that was measured, in the order in which it came.
type table struct{ rows []*row }

type row struct {
	name  string
	cells [columns]cell
}

type cell struct {
	value float64
	text  string // empty: nothing was measured
}

// set fills a cell. An empty text stands for the value.
func (t *table) set(name string, column int, value float64, text string) {
	if text == "" {
		text = number(value)
	}
	r := t.row(name)
	if r == nil {
		r = &row{name: name}
		t.rows = append(t.rows, r)
	}
	r.cells[column] = cell{value, text}
}

func (t *table) row(name string) *row {
	for _, r := range t.rows {
		if r.name == name {
			return r
		}
	}
	return nil
}

// markdown writes the table, with the budgets beside what they are for.
func (t *table) markdown(budgets []budget) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s | budget | |\n|---|%s--:|---|\n", strings.Join(columnNames[:], " | "), strings.Repeat("--:|", columns))
	for _, r := range t.rows {
		fmt.Fprintf(&b, "| %s |", r.name)
		for _, c := range r.cells {
			fmt.Fprintf(&b, " %s |", c.text)
		}
		limit, verdict := "", ""
		for _, budget := range budgets {
			if budget.row == r.name {
				limit, verdict = number(budget.limit), budget.verdict(r.cells[ours].value)
			}
		}
		fmt.Fprintf(&b, " %s | %s |\n", limit, verdict)
	}
	return b.String()
}

// check prints each budget that does not depend on time, and fails if a value is
// above what is allowed.
func (t *table) check(w io.Writer, budgets []budget) error {
	exceeded := 0
	for _, b := range budgets {
		if b.timed {
			continue
		}
		var measured cell
		if r := t.row(b.row); r != nil {
			measured = r.cells[ours]
		}
		verdict, limit := b.verdict(measured.value), b.limit
		if b.held != 0 {
			limit = b.held
		}
		if measured.text == "" || !b.within(measured.value, limit) {
			exceeded++
			verdict = "EXCEEDED"
		}
		fmt.Fprintf(w, "%-10s %s: %s, budget %s, allowed %s\n", verdict, b.row, measured.text, number(b.limit), number(limit))
	}
	if exceeded > 0 {
		return fmt.Errorf("%d budgets exceeded", exceeded)
	}
	return nil
}

// number is a value with the digits that it is worth, and commas between thousands.
func number(v float64) string {
	switch {
	case v == float64(int(v)) && v < 1000:
		return strconv.Itoa(int(v))
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100 && v-float64(int(v)) > 0.05 && v-float64(int(v)) < 0.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// chart draws a row as bars. GitHub makes a picture of it.
func (t *table) chart(name, title string) string {
	var values []string
	for _, c := range t.row(name).cells {
		values = append(values, strconv.FormatFloat(c.value, 'f', 2, 64))
	}
	return fmt.Sprintf("```mermaid\nxychart-beta\n    title %q\n    x-axis [\"%s\"]\n    bar [%s]\n```\n",
		title, strings.Join(columnNames[:], `", "`), strings.Join(values, ", "))
}
