package main

import (
	"fmt"
	"strings"
)

// parseExplained reads the mutants that may survive, each with its reason in the
// lines below it, which are indented:
//
//	sdkhmac.go Sign: x > 0 -> x >= 0
//		x is never 0 here: callers check it
func parseExplained(text string) (map[string]string, error) {
	explained := make(map[string]string)
	number, key := 0, ""
	for line := range strings.Lines(text) {
		number++
		content := strings.TrimSpace(line)
		switch indented := strings.HasPrefix(line, "\t") || strings.HasPrefix(line, " "); {
		case content == "" || strings.HasPrefix(line, "#"):
		case indented && key == "":
			return nil, fmt.Errorf("line %d: a reason of no mutant", number)
		case indented:
			explained[key] = strings.TrimSpace(explained[key] + " " + content)
		case key != "" && explained[key] == "":
			return nil, fmt.Errorf("line %d: the mutant before has no reason", number)
		default:
			if _, twice := explained[content]; twice {
				return nil, fmt.Errorf("line %d: this mutant is explained already", number)
			}
			key = content
			explained[key] = ""
		}
	}
	if key != "" && explained[key] == "" {
		return nil, fmt.Errorf("line %d: the last mutant has no reason", number)
	}
	return explained, nil
}
