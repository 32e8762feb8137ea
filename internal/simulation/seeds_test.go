package simulation

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

//go:embed seeds.txt
var seeds string

// seedLine is a line of seeds.txt.
type seedLine struct {
	scenario    string
	first, last uint64
	found       string
}

func parseSeeds(text string) ([]seedLine, error) {
	var lines []seedLine
	for n, line := range strings.Split(text, "\n") {
		field := strings.Fields(line)
		if len(field) == 0 || strings.HasPrefix(field[0], "#") {
			continue
		}
		if len(field) < 2 {
			return nil, fmt.Errorf("line %d has no seeds", n+1)
		}
		l := seedLine{scenario: field[0], found: strings.Join(field[2:], " ")}
		if _, err := fmt.Sscanf(field[1], "%d-%d", &l.first, &l.last); err != nil {
			if _, err := fmt.Sscanf(field[1], "%d", &l.first); err != nil {
				return nil, fmt.Errorf("line %d: %w", n+1, err)
			}
			l.last = l.first
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// TestSeeds runs the worlds of seeds.txt.
func TestSeeds(t *testing.T) {
	lines, err := parseSeeds(seeds)
	if err != nil {
		t.Fatal(err)
	}
	tallies := map[string]*tally{}
	var order []*tally
	for _, l := range lines {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == l.scenario })
		if i < 0 {
			t.Fatalf("no scenario %q", l.scenario)
		}
		total := worlds(t, scenarios[i], l.first, int(l.last-l.first+1)*callsAWorld, choice{})
		complain(t, scenarios[i], total)
		if tallies[l.scenario] == nil {
			tallies[l.scenario] = newTally(l.scenario)
			order = append(order, tallies[l.scenario])
		}
		tallies[l.scenario].join(total)
	}
	var out bytes.Buffer
	print(&out, order)
	os.Stdout.Write(out.Bytes())
}
