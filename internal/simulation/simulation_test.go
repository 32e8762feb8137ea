package simulation

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

var (
	flagScenario = flag.String("scenario", "", "the scenario to run; empty: all of them, in equal parts")
	flagSeed     = flag.Uint64("seed", 1, "the seed of the first world; the following ones have the following")
	flagCalls    = flag.Int("calls", 100_000, "how many calls TestSimulation makes, over all scenarios")
	flagKeep     = flag.String("keep", "", "which parts of each world to keep, as a failing one prints them; empty: all")
	flagShow     = flag.Int("show", -1, "tell the story of this call of the first world")
	flagFirst    = flag.Bool("first", false, "stop at the first finding")
)

const (
	shrinkRuns = 400 // how often a failing world is run to make it smaller
	mostShown  = 10  // findings of each kind in a scenario
)

// TestMain has one processor run everything: most of what happens at the same moment
// in a world then has the same order in every run.
func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400) // a world is small, and soon over
	defer chanceByTime()()
	m.Run()
}

// planned is the world of a seed, or the parts of it that -keep names.
func planned(s scenario, seed uint64) *plan {
	p := newPlan(s, seed)
	if *flagKeep != "" {
		return p.only(strings.Split(*flagKeep, ","))
	}
	return p
}

// found is a finding, and where.
type found struct {
	finding
	seed  uint64
	calls int // that were made before
}

// worlds runs worlds of a scenario, with the seeds from first on, until they have made
// so many calls. It counts them, and returns what is wrong.
func worlds(t *testing.T, s scenario, first uint64, calls int, count tally) (wrong []found) {
	for n := range (calls + s.size() - 1) / s.size() {
		before, seed := count["calls"], first+uint64(n)
		j := inBubble(t, planned(s, seed))
		count.add(j)
		for _, f := range j.findings {
			wrong = append(wrong, found{f, seed, before + max(0, f.call) + 1})
		}
		if *flagFirst && len(wrong) > 0 {
			break
		}
	}
	return wrong
}

// complain prints the findings of a scenario, each with the line that repeats it. The
// first of each kind has its world made as small as it gets.
func complain(t *testing.T, s scenario, wrong []found) {
	if len(wrong) > 0 {
		t.Errorf("%s: %d findings", s.name, len(wrong))
	}
	printed := map[verdict]int{}
	for _, f := range wrong {
		if printed[f.verdict]++; printed[f.verdict] > mostShown {
			continue
		}
		t.Errorf("%s, seed %d: %v", s.name, f.seed, f.finding)
		var keep []string
		if printed[f.verdict] == 1 && !*flagFirst && f.verdict != isLeak {
			keep = shrink(planned(s, f.seed), func(p *plan) bool {
				for range 3 { // calls that wait for the same instant go on in any order
					if slices.ContainsFunc(inBubble(t, p).findings, f.same) {
						return true
					}
				}
				return false
			}, shrinkRuns)
		}
		fmt.Printf("go -C internal/simulation test . -v -run TestSimulation -calls 1 -scenario %s -seed %d -show %d -keep '%s'\n",
			s.name, f.seed, f.call, strings.Join(keep, ","))
	}
}

// TestSimulation makes as many calls as it is told to, in worlds of new seeds.
func TestSimulation(t *testing.T) {
	chosen := scenarios
	if *flagScenario != "" {
		chosen = []scenario{scenarioNamed(t, *flagScenario)}
	}
	if *flagShow >= 0 {
		fmt.Print(inBubble(t, planned(chosen[0], *flagSeed)).story(*flagShow))
		return
	}
	count := tally{}
	for _, s := range chosen {
		calls := *flagCalls / len(chosen)
		if s.name == "pages" && len(chosen) > 1 {
			calls /= 40 // each is of hundreds of APIs
		}
		wrong := worlds(t, s, *flagSeed, calls, count)
		complain(t, s, wrong)
		if *flagFirst && len(wrong) > 0 {
			fmt.Printf("first finding after %d calls: %s\n", wrong[0].calls, wrong[0].verdict)
			break
		}
	}
	count.print(os.Stdout)
}

// regressions are worlds that have found something.
var regressions = []struct {
	scenario string
	seed     uint64
	found    string
}{
	{"outages", 52, "a history that the service refused for long ended the look at all others"},
}

func TestRegressions(t *testing.T) {
	for _, r := range regressions {
		s := scenarioNamed(t, r.scenario)
		complain(t, s, worlds(t, s, r.seed, 1, tally{}))
	}
}

// scenarioNamed finds a scenario.
func scenarioNamed(t *testing.T, name string) scenario {
	i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
	if i < 0 {
		t.Fatalf("no scenario %q", name)
	}
	return scenarios[i]
}
