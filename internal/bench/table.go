package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// table is everything that was measured: a row for each thing, in the order in which
// they came, and a column for each client.
type table struct {
	rows  []string
	cells map[place]cell
}

type place struct{ row, column string }

type cell struct {
	value float64 // what a budget and the picture go by
	text  string
}

// set fills a cell. A row that is not there yet is added.
func (t *table) set(row, column string, value float64, text string) {
	if t.cells == nil {
		t.cells = map[place]cell{}
	}
	at := place{row, column}
	if !t.has(row) {
		t.rows = append(t.rows, row)
	}
	t.cells[at] = cell{value, text}
}

func (t *table) has(row string) bool {
	for _, r := range t.rows {
		if r == row {
			return true
		}
	}
	return false
}

// line is one cell as one process prints it for another.
type line struct {
	Row, Column, Text string
	Value             float64
}

// write prints the cells, each as a line of JSON, row by row.
func (t *table) write(w io.Writer) error {
	out := json.NewEncoder(w)
	for _, row := range t.rows {
		for _, column := range columns {
			if c, ok := t.cells[place{row, column}]; ok {
				if err := out.Encode(line{row, column, c.text, c.value}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// read adds the cells that another table has written. Other lines among them are
// skipped.
func (t *table) read(text []byte) error {
	for l := range bytes.Lines(text) {
		if !bytes.HasPrefix(l, []byte("{")) {
			continue
		}
		var c line
		if err := json.Unmarshal(l, &c); err != nil {
			return err
		}
		t.set(c.Row, c.Column, c.Value, c.Text)
	}
	return nil
}

// markdown writes the table, with the budgets beside what they are for.
func (t *table) markdown(budgets []budget) string {
	var b strings.Builder
	write := func(first string, cells []string, last string) {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", first, strings.Join(cells, " | "), last)
	}
	write("", columns, "budget")
	b.WriteString("|---" + strings.Repeat("|--:", len(columns)) + "|---|\n")
	for _, row := range t.rows {
		cells := make([]string, len(columns))
		for i, column := range columns {
			cells[i] = t.cells[place{row, column}].text
		}
		write(row, cells, budgetsOf(row, budgets))
	}
	return b.String()
}

// budgetsOf names the budgets of a row.
func budgetsOf(row string, budgets []budget) string {
	var of []string
	for _, b := range budgets {
		if b.row == row {
			of = append(of, b.String())
		}
	}
	return strings.Join(of, "; ")
}

// amount is a number without decimals, if that is all there is to it, and with
// commas between thousands.
func amount(v float64) string {
	if v < 100 && v-float64(int(v)) > 0.05 && v-float64(int(v)) < 0.95 {
		return decimals(v)
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	digits, negative := strings.CutPrefix(digits, "-")
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if negative {
		return "-" + digits
	}
	return digits
}

// decimals is a number with as many decimals as its size is worth.
func decimals(v float64) string {
	switch {
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return amount(v)
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// String is the median, and the quartiles behind it.
func (s spread) String() string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", s.median, s.low, s.high)
}
