package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Settings configure a gateway that runs as a process of its own. With a Region and
// nothing else it is a gateway on a free port of 127.0.0.1 with one API.
type Settings struct {
	Addr        string   // host:port to listen on, port 0 for any; "" is 127.0.0.1:0
	AllowRemote bool     // Addr may be one that other machines reach
	Hosts       []string // names by which clients call it, besides localhost

	APIs         []string // names; group/name puts one into a group. Without any, and with Many 0: orders
	Many         int      // how many more APIs, named api-0001 and so on
	Environments []string // names, besides RELEASE

	// Credentials to accept. Without any a token is generated.
	Tokens                 []string
	AccessKey, SecretKey   string
	User, Password, Domain string // Domain "" is example

	ProjectID, InstanceID string // generated if empty
	Region                string // also the name of the project

	Faults float64 // share of requests that a fault strikes, from 0 to 1
	Seed   uint64  // of the IDs and of these faults

	TLS      bool
	CertFile string // for the certificate of TLS; "" is a new file in the temporary directory
	EnvFile  string // for the shell commands, complete as soon as it exists, removed at the end
	JSON     bool   // print the inventory as JSON, not as shell commands
	Quiet    bool   // write nothing to stderr
}

// ReadSecrets fills in credentials that are empty from the environment:
// APIGTEST_TOKEN, APIGTEST_AK, APIGTEST_SK, APIGTEST_USER and APIGTEST_PASSWORD, or
// from the file that the same name with _FILE names, without the line break at its
// end. Arguments of a process are seen by all users of the machine.
func (s *Settings) ReadSecrets(getenv func(string) string) error {
	var token string
	for name, into := range map[string]*string{
		"APIGTEST_TOKEN": &token, "APIGTEST_AK": &s.AccessKey, "APIGTEST_SK": &s.SecretKey,
		"APIGTEST_USER": &s.User, "APIGTEST_PASSWORD": &s.Password,
	} {
		value, path := getenv(name), getenv(name+"_FILE")
		if value != "" && path != "" {
			return fmt.Errorf("%s and %s_FILE exclude each other", name, name)
		}
		if path != "" {
			content, err := os.ReadFile(path)
			if err != nil {
				return fmt.Errorf("%s_FILE: %w", name, err)
			}
			value = strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
			if value == "" {
				return fmt.Errorf("%s_FILE: %s is empty", name, path)
			}
		}
		if *into == "" {
			*into = value
		}
	}
	if token != "" && len(s.Tokens) == 0 {
		s.Tokens = []string{token}
	}
	return nil
}

// A region becomes part of the name of a variable, and an ID part of a path.
var regionName = regexp.MustCompile(`^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$`)
var plainID = regexp.MustCompile(`^([A-Za-z0-9_-][A-Za-z0-9._-]{0,254})?$`)

// Check finds what is wrong with the settings, without starting anything.
func (s *Settings) Check() error {
	switch {
	case slices.Contains(s.Tokens, ""):
		return errors.New("--token is empty")
	case !plainID.MatchString(s.ProjectID):
		return fmt.Errorf("--project %q is not an ID", s.ProjectID)
	case !plainID.MatchString(s.InstanceID):
		return fmt.Errorf("--instance %q is not an ID", s.InstanceID)
	case (s.AccessKey == "") != (s.SecretKey == ""):
		return errors.New("an access key and its secret key need each other")
	case (s.User == "") != (s.Password == ""):
		return errors.New("a user and the password need each other")
	case !(s.Faults >= 0 && s.Faults <= 1): // NaN is not either
		return fmt.Errorf("the share of faults %v is not between 0 and 1", s.Faults)
	case s.Many < 0 || s.Many > 100_000:
		return fmt.Errorf("the number of APIs %d is not between 0 and 100000", s.Many)
	case s.CertFile != "" && !s.TLS:
		return errors.New("a file for the certificate needs TLS")
	case !regionName.MatchString(s.Region):
		return fmt.Errorf("--region %q is not made of letters, digits and hyphens", s.Region)
	case len(s.Hosts) > 0 && !s.AllowRemote:
		return errors.New("names of the gateway need leave to listen for other machines")
	}
	return checkAddress(cmp.Or(s.Addr, "127.0.0.1:0"), s.AllowRemote)
}

// process is a gateway that is run, with its control address.
type process struct {
	*Gateway
	settings Settings
	made     Inventory
	files    []string // to be removed at the end

	mu    sync.Mutex
	clock controlledClock
}

// Run runs a gateway until ctx ends. It prints the inventory to stdout, and to stderr
// a line for each request that is not imitated, and the numbers at the end. Its error
// is one of the settings, of the address or of a file. After the end of ctx it
// returns within a few seconds, also if nobody reads stdout and stderr.
func Run(ctx context.Context, s Settings, stdout, stderr io.Writer) error {
	if s.Quiet {
		stderr = io.Discard
	}
	p, err := newProcess(s, stderr)
	if err != nil {
		return err
	}
	defer p.removeFiles()
	text := p.made.Shell()
	if p.settings.EnvFile != "" {
		if err := writeWhole(p.settings.EnvFile, text); err != nil {
			p.Close()
			return err
		}
		defer p.removeEnvFile(text)
	}
	if s.JSON {
		object, _ := json.MarshalIndent(p.made, "", "  ") // strings always marshal
		text = string(object) + "\n"
	}
	printed := make(chan struct{})
	go func() { // a reader that has stopped reading must not keep the signal from ending it
		defer close(printed)
		fmt.Fprint(stdout, text)
	}()
	<-ctx.Done()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-printed
		p.Close()
		fmt.Fprintf(stderr, "%d requests, %d struck by faults, %d changes\n", len(p.Requests()), p.Struck(), len(p.Journal()))
	}()
	select {
	case <-ended:
	case <-time.After(2 * time.Second):
	}
	return nil
}

// newProcess starts the gateway and makes what the settings ask for.
func newProcess(s Settings, stderr io.Writer) (*process, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	p := &process{settings: s}
	if info, err := os.Lstat(s.EnvFile); err == nil && info.Mode().IsRegular() {
		os.Remove(s.EnvFile) // or a client would take it for the new one
	}
	said := log.New(stderr, "", 0)
	_, err := Start(func(c *config) {
		c.addr, c.remote, c.hosts, c.tls = cmp.Or(s.Addr, c.addr), s.AllowRemote, s.Hosts, s.TLS
		c.projectID, c.instanceID, c.region, c.seed = s.ProjectID, s.InstanceID, s.Region, s.Seed
		c.log = stderr
		c.observe = func(r *Request) {
			if r.Op == OpUnknown {
				said.Printf("not imitated: %s %q (request %s)", r.Method, r.Path, r.ID)
			}
		}
		c.wrap = func(g *Gateway) (http.Handler, error) {
			p.Gateway = g
			return p.handler(g.Handler()), p.populate()
		}
	})
	if err != nil {
		p.removeFiles()
		return nil, err
	}
	return p, nil
}

func (g *process) writeCertificate() error {
	if g.settings.CertFile != "" {
		return os.WriteFile(g.settings.CertFile, g.pem, 0o644)
	}
	file, err := os.CreateTemp("", "apig-gateway-*.pem")
	if err != nil {
		return err
	}
	g.settings.CertFile = file.Name()
	g.files = append(g.files, file.Name())
	_, err = file.Write(g.pem)
	return cmp.Or(err, file.Close())
}

func (g *process) removeFiles() {
	for _, file := range g.files {
		os.Remove(file)
	}
}

// removeEnvFile leaves the file of a gateway that was started later alone.
func (g *process) removeEnvFile(own string) {
	if content, err := os.ReadFile(g.settings.EnvFile); err == nil && string(content) == own {
		os.Remove(g.settings.EnvFile)
	}
}

// populate makes the certificate's file, the credentials, the APIs, the environments
// and the faults.
func (g *process) populate() error {
	s := &g.settings
	if s.TLS {
		if err := g.writeCertificate(); err != nil {
			return err
		}
	}
	s.Domain = cmp.Or(s.Domain, "example")
	for _, token := range s.Tokens {
		g.AddToken(token, time.Time{})
	}
	if s.AccessKey != "" {
		g.AddKeys(s.AccessKey, s.SecretKey, "")
	}
	if s.User != "" {
		g.AddUser(User{Name: s.User, Password: s.Password, DomainName: s.Domain})
	}
	if len(s.Tokens) == 0 && s.AccessKey == "" && s.User == "" {
		s.Tokens = []string{g.Token()}
	}
	made := Inventory{
		URL: g.URL(), Control: g.URL() + controlPath,
		ProjectID: g.ProjectID(), InstanceID: g.InstanceID(), Region: s.Region,
		APIs: []Made{}, Groups: []Made{}, Environments: []Made{{ID: releaseID, Name: "RELEASE"}},
	}
	names := slices.Clone(s.APIs)
	for i := range s.Many {
		names = append(names, fmt.Sprintf("api-%04d", i+1))
	}
	if len(names) == 0 {
		names = []string{"orders"}
	}
	groups := map[string]string{}
	for _, name := range names {
		group, plain, ok := strings.Cut(name, "/")
		if !ok {
			made.APIs = append(made.APIs, Made{ID: g.AddAPI(name), Name: name})
			continue
		}
		if groups[group] == "" {
			groups[group] = g.AddGroup(group)
			made.Groups = append(made.Groups, Made{ID: groups[group], Name: group})
		}
		made.APIs = append(made.APIs, Made{g.AddAPIIn(groups[group], plain), plain, group})
	}
	for _, name := range s.Environments {
		made.Environments = append(made.Environments, Made{ID: g.AddEnvironment(name), Name: name})
	}
	made.Variables = s.variables(g.Gateway)
	// Left in an environment, they would win over these, or go to the gateway.
	made.Unset = slices.DeleteFunc(slices.Clone(otherVariables), func(name string) bool {
		return slices.ContainsFunc(made.Variables, func(v Variable) bool { return v.Name == name })
	})
	g.made = made
	g.arm()
	return nil
}

// arm injects the faults that strike at random.
func (g *process) arm() {
	if g.settings.Faults > 0 {
		g.InjectFunc(Mix(g.settings.Seed, g.settings.Faults, mixedFaults()...))
	}
}

// writeWhole writes a file that appears with all of its content. Only its owner can
// read it.
func writeWhole(path, content string) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = temporary.WriteString(content)
	if err = cmp.Or(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		os.Remove(temporary.Name())
	}
	return err
}
