package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/apig-go/apig"
)

// target is an API as it was asked for and as it was found.
type target struct {
	Name  string `json:"api"`
	APIID string `json:"api_id"`
}

// resolve finds the IDs of everything that the options name.
func resolve(ctx context.Context, client *apig.Client, o options) ([]target, string, error) {
	wanted := o.apis
	if o.file != "" {
		lines, err := readLines(o.file)
		if err != nil {
			return nil, "", err
		}
		wanted = append(wanted, lines...)
	}
	envID, err := environmentID(ctx, client, o.env)
	if err != nil {
		return nil, "", err
	}
	var (
		targets []target
		missing []error
		asked   = map[string]bool{}
	)
	for _, name := range wanted {
		id := name
		if !isID(name) {
			api, err := client.APIByName(ctx, name)
			if err != nil {
				missing = append(missing, err)
				continue
			}
			id = api.ID
		}
		if !asked[id] {
			asked[id] = true
			targets = append(targets, target{name, id})
		}
	}
	return targets, envID, errors.Join(missing...)
}

func environmentID(ctx context.Context, client *apig.Client, env string) (string, error) {
	switch {
	case env == "RELEASE":
		return apig.EnvRelease, nil
	case env == apig.EnvRelease, isID(env):
		return env, nil
	}
	found, err := client.EnvironmentByName(ctx, env)
	if err != nil {
		return "", err
	}
	return found.ID, nil
}

// isID reports whether s looks like an ID of the service: 32 hex digits.
func isID(s string) bool {
	_, err := hex.DecodeString(s)
	return len(s) == 32 && err == nil
}

// readLines reads a file without its empty lines and those that begin with #.
func readLines(path string) ([]string, error) {
	file := os.Stdin
	if path != "-" {
		var err error
		if file, err = os.Open(path); err != nil {
			return nil, err
		}
		defer file.Close()
	}
	var lines []string
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		if line := strings.TrimSpace(scanner.Text()); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("%s names no API", path)
	}
	return lines, nil
}
