package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMarkdown(t *testing.T) {
	results := &table{}
	results.set("first", colOurs, 61, "61")
	results.set("second", colPlain, 32, "32")
	results.set("first", colPlain, 30, "30")
	lines := strings.Split(strings.TrimSpace(results.markdown([]budget{
		{"first", colOurs, 46, checked}, {"first", colOursKeys, 0.9, atLeast},
	})), "\n")
	require.Len(t, lines, 4)
	for _, line := range lines {
		assert.Equal(t, len(columns)+3, strings.Count(line, "|"), line)
	}
	first := strings.Split(lines[2], " | ")
	assert.Equal(t, "| first", first[0])
	assert.Equal(t, "30", first[1], "of the plain client")
	assert.Equal(t, "apig 46; apig, AK/SK at least 0.90 |", first[len(first)-1])
	assert.True(t, strings.HasPrefix(lines[3], "| second | 32 |"), lines[3])
}

func TestTableGoesThroughAPipe(t *testing.T) {
	sent := &table{}
	sent.set("first", colOurs, 788.25, "788")
	sent.set("second", colOurs, 0, "0")
	var pipe bytes.Buffer
	require.NoError(t, sent.write(&pipe))
	pipe.WriteString("PASS\n")

	received := &table{}
	require.NoError(t, received.read(pipe.Bytes()))
	assert.Equal(t, sent, received)
	require.Error(t, received.read([]byte("{broken\n")))
}

func TestAmounts(t *testing.T) {
	for want, value := range map[string]float64{
		"0": 0, "46": 46, "46.5": 46.5, "14.9": 14.9, "5,100": 5100, "1,234,568": 1234567.8, "-1,000": -1000, "-1": -1,
	} {
		assert.Equal(t, want, amount(value))
	}
	assert.Equal(t, "0.38", decimals(0.38))
	assert.Equal(t, "14.7", decimals(14.7))
	assert.Equal(t, "248,941", decimals(248941))
	assert.Equal(t, "1.31 (1.16 to 1.40)", spread{1.16, 1.31, 1.4}.String())
}

func TestBudgets(t *testing.T) {
	results := &table{}
	results.set("allocations", colOurs, 46, "46")
	results.set("bytes", colOurs, 5101, "5,101")
	var out strings.Builder

	assert.Zero(t, checkBudgets(&out, results, []budget{{"allocations", colOurs, 46, checked}}))
	assert.Equal(t, "within    allocations, apig: 46 measured, 46 allowed\n", out.String())

	out.Reset()
	assert.Equal(t, 1, checkBudgets(&out, results, []budget{{"allocations", colOurs, 46, checked}, {"bytes", colOurs, 5100, checked}}))
	assert.Contains(t, out.String(), "EXCEEDED  bytes, apig: 5,101 measured, 5,100 allowed\n")
	assert.Contains(t, out.String(), "1 of 2 budgets exceeded\n")

	out.Reset()
	assert.Zero(t, checkBudgets(&out, results, []budget{{"bytes", colOurs, 1, shown}}), "what is only shown does not fail")
	assert.Empty(t, out.String())

	out.Reset()
	assert.Equal(t, 1, checkBudgets(&out, results, []budget{{"lines", colOurs, 4500, checked}}), "a budget that nothing was measured for")
	assert.Contains(t, out.String(), "nothing measured")
}

func TestPicture(t *testing.T) {
	results := &table{}
	for i, d := range drawn {
		results.set(rowPublish+": allocations", d.column, float64(10*(i+1)), "")
	}
	_, err := picture(results)
	require.ErrorContains(t, err, "CPU ratio", "half of it was not measured")
	for i, d := range drawn {
		results.set(rowPublish+": CPU ratio", d.column, 1+float64(i)/2, "")
	}
	svg, err := picture(results)
	require.NoError(t, err)

	var bars []string
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err, "it is XML")
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			for _, a := range e.Attr {
				if a.Name.Local == "width" {
					bars = append(bars, a.Value)
				}
			}
		}
	}
	require.Len(t, bars, 2*len(drawn))
	assert.Equal(t, "41.7", bars[0], "a sixth of the longest")
	assert.Equal(t, "250.0", bars[len(drawn)-1], "the longest, which leaves room for its number")
	assert.Contains(t, svg, ">60</text>")
	assert.Contains(t, svg, ">3.5</text>")
	assert.Contains(t, svg, "prefers-color-scheme: dark")
}
