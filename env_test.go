package apig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/internal/sdkhmac"
)

// envFake is an environment made of maps, which notes what is asked of it.
type envFake struct {
	vars    map[string]string
	files   map[string]string
	home    string
	homeErr error

	asked []string // for variables
	read  []string // files
}

func (f *envFake) config() (Config, error) {
	return environment{
		getenv: func(name string) string {
			f.asked = append(f.asked, name)
			return f.vars[name]
		},
		readFile: func(path string) ([]byte, error) {
			f.read = append(f.read, path)
			text, ok := f.files[path]
			switch {
			case !ok:
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			case text == "forbidden":
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
			}
			return []byte(text), nil
		},
		home: func() (string, error) { return f.home, f.homeErr },
	}.config()
}

// Where the official SDK has its file.
var envHomeFile = filepath.Join("/home/ci", ".huaweicloud", "credentials")

// envGateway names a gateway, and nothing else.
var envGateway = map[string]string{
	"APIG_ENDPOINT":    testEndpoint,
	"HW_PROJECT_ID":    testProject,
	"APIG_INSTANCE_ID": testInstance,
}

const envNone = "no credentials are set (HW_AUTH_TOKEN, HW_ACCESS_KEY, HW_PASSWORD, HUAWEICLOUD_SDK_AK or a credentials file)"

// envWith is a map with more in it, or less: an empty value takes a variable out.
func envWith(base map[string]string, more ...string) map[string]string {
	vars := maps.Clone(base)
	for i := 0; i+1 < len(more); i += 2 {
		if vars[more[i]] = more[i+1]; more[i+1] == "" {
			delete(vars, more[i])
		}
	}
	return vars
}

// envUses is what a request gets from these credentials, in one word or two.
func envUses(t *testing.T, auth Authenticator, secrets ...string) string {
	t.Helper()
	require.NotNil(t, auth)
	r, err := http.NewRequest(http.MethodGet, "https://apig.example.com/x", nil)
	require.NoError(t, err)
	require.NoError(t, auth.Authenticate(r))
	if token := r.Header.Get("X-Auth-Token"); token != "" {
		return "token " + token
	}
	access := regexp.MustCompile("Access=([^,]+),").FindStringSubmatch(r.Header.Get("Authorization"))
	require.Len(t, access, 2)
	for _, secret := range secrets {
		again := r.Clone(t.Context())
		date, err := time.Parse(sdkhmac.DateLayout, r.Header.Get("X-Sdk-Date"))
		require.NoError(t, err)
		sdkhmac.Sign(again, nil, access[1], secret, date)
		if again.Header.Get("Authorization") == r.Header.Get("Authorization") {
			return strings.TrimSpace("keys " + access[1] + " " + secret + " " + r.Header.Get("X-Security-Token"))
		}
	}
	return "keys " + access[1]
}

// Every kind of credentials wins over those after it, and is what it says. The
// file is read only where it is needed.
func TestEnvOrder(t *testing.T) {
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	g.AddUser(apigtest.User{Name: "ci", DomainName: "acme", Password: iamPassword})
	g.Inject(apigtest.Fault{Op: apigtest.OpToken, Header: http.Header{"X-Subject-Token": {"of-IAM"}}}.Always())
	fake := &envFake{
		vars: envWith(envGateway,
			"HW_PROJECT_ID", g.ProjectID(),
			"HW_AUTH_TOKEN", "of-the-environment",
			"HW_ACCESS_KEY", "AK-HW", "HW_SECRET_KEY", "SK-HW", "HW_SECURITY_TOKEN", "ST-HW",
			"HW_PASSWORD", iamPassword, "HW_USER_NAME", "ci", "HW_DOMAIN_NAME", "acme", "HW_AUTH_URL", g.URL()+"/v3",
			"HUAWEICLOUD_SDK_AK", "AK-SDK", "HUAWEICLOUD_SDK_SK", "SK-SDK", "HUAWEICLOUD_SDK_SECURITY_TOKEN", "ST-SDK",
		),
		files: map[string]string{envHomeFile: "[basic]\nak=AK-FILE\nsk=SK-FILE\nsecurity_token=ST-FILE\n"},
		home:  "/home/ci",
	}
	for _, step := range []struct{ without, want string }{
		{"", "token of-the-environment"},
		{"HW_AUTH_TOKEN", "keys AK-HW SK-HW ST-HW"},
		{"HW_SECURITY_TOKEN", "keys AK-HW SK-HW"},
		{"HW_ACCESS_KEY HW_SECRET_KEY", "token of-IAM"},
		{"HW_PASSWORD HW_USER_NAME", "keys AK-SDK SK-SDK ST-SDK"},
		{"HUAWEICLOUD_SDK_SECURITY_TOKEN", "keys AK-SDK SK-SDK"},
		{"HUAWEICLOUD_SDK_AK HUAWEICLOUD_SDK_SK", "keys AK-FILE SK-FILE ST-FILE"},
	} {
		for _, name := range strings.Fields(step.without) {
			delete(fake.vars, name)
		}
		fake.read = nil
		cfg, err := fake.config()
		require.NoError(t, err, step.want)
		assert.Equal(t, step.want, envUses(t, cfg.Auth, "SK-HW", "SK-SDK", "SK-FILE"))
		assert.Equal(t, strings.Contains(step.want, "FILE"), fake.read != nil, step.want)
		_, err = New(cfg)
		require.NoError(t, err)
	}
}

// An explicit file wins over the one at home. The two are not mixed, and none is
// read twice.
func TestEnvFileOrder(t *testing.T) {
	fake := &envFake{
		vars: envWith(envGateway, "HUAWEICLOUD_SDK_CREDENTIALS_FILE", "/etc/ci/credentials", "HW_PROJECT_ID", ""),
		files: map[string]string{
			"/etc/ci/credentials": "[basic]\nak=AK-NAMED\nsk=SK-NAMED\n",
			envHomeFile:           "[basic]\nak=AK-HOME\nsk=SK-HOME\nproject_id=of-home\n",
		},
		home: "/home/ci",
	}
	_, err := fake.config()
	require.EqualError(t, err, "apig: invalid argument: HW_PROJECT_ID is not set")
	fake.vars["HW_PROJECT_ID"] = testProject
	fake.read = nil
	cfg, err := fake.config()
	require.NoError(t, err)
	assert.Equal(t, "keys AK-NAMED SK-NAMED", envUses(t, cfg.Auth, "SK-NAMED", "SK-HOME"))
	assert.Equal(t, []string{"/etc/ci/credentials"}, fake.read)
}

func TestEnvGateway(t *testing.T) {
	base := envWith(envGateway, "HW_AUTH_TOKEN", "t")
	region := func(more ...string) map[string]string { return envWith(envWith(base, "APIG_ENDPOINT", ""), more...) }
	for name, tt := range map[string]struct {
		vars              map[string]string
		endpoint, project string
	}{
		"as it is":             {base, testEndpoint, testProject},
		"endpoint over region": {envWith(base, "HW_REGION_NAME", "cn-north-4", "HW_CLOUD", "x.example.com"), testEndpoint, testProject},
		"region":               {region("HW_REGION_NAME", "cn-north-4"), "https://apig.cn-north-4.myhuaweicloud.com", testProject},
		"region of Europe":     {region("HW_REGION_NAME", "eu-west-101"), "https://apig.eu-west-101.myhuaweicloud.eu", testProject},
		"region of another cloud": {
			region("HW_REGION_NAME", "eu-de", "HW_CLOUD", "otc.t-systems.com"), "https://apig.eu-de.otc.t-systems.com", testProject,
		},
		"region of Europe, of another cloud": {
			region("HW_REGION_NAME", "eu-west-101", "HW_CLOUD", "cloud.example.com"), "https://apig.eu-west-101.cloud.example.com", testProject,
		},
		"project: HW over SDK":       {envWith(base, "HUAWEICLOUD_SDK_PROJECT_ID", "of-the-sdk"), testEndpoint, testProject},
		"project: SDK over the file": {envWith(base, "HW_PROJECT_ID", "", "HUAWEICLOUD_SDK_PROJECT_ID", "of-the-sdk"), testEndpoint, "of-the-sdk"},
		"project: the file":          {envWith(base, "HW_PROJECT_ID", ""), testEndpoint, "of-the-file"},
	} {
		fake := &envFake{vars: tt.vars, files: map[string]string{envHomeFile: "[basic]\nproject_id = of-the-file\n"}, home: "/home/ci"}
		cfg, err := fake.config()
		require.NoError(t, err, name)
		assert.Equal(t, tt.endpoint, cfg.Endpoint, name)
		assert.Equal(t, tt.project, cfg.ProjectID, name)
		assert.Equal(t, testInstance, cfg.InstanceID, name)
		assert.Equal(t, "token t", envUses(t, cfg.Auth), name)
		cfg.Endpoint, cfg.ProjectID, cfg.InstanceID, cfg.Auth = "", "", "", nil
		assert.Equal(t, Config{}, cfg, "the rest is up to the caller")
	}
}

// A region is one label of a name and a cloud a name: anything else would be the
// address of somebody else. It is a mistake by its own name, of ConfigFromEnv and
// then of New, and of whoever asks IAM.
func TestEnvRegion(t *testing.T) {
	const (
		region = "HW_REGION_NAME is not the name of a region, such as cn-north-4"
		cloud  = "HW_CLOUD is not the name of a domain, such as myhuaweicloud.com"
	)
	for _, tt := range []struct{ region, cloud, want string }{
		{"evil.example/", "", region},
		{"evil.example#", "", region},
		{"evil.example?", "cloud.example.com", region},
		{"a.b", "", region},
		{"-a", "", region},
		{"user:" + iamPassword + "@evil", "", region},
		{"cn-north-4", "evil.example/", cloud},
		{"cn-north-4", "evil.example:444", cloud},
		{"cn-north-4", "evil.example#", cloud},
		{"cn-north-4", "@evil.example", cloud},
		{"cn-north-4", "https://evil.example", cloud},
		{"cn-north-4", "evil..example", cloud},
		{"cn-north-4", ".evil", cloud},
		{"cn-north-4", "evil.", cloud},
		{"cn-north-4", "evil\u202e.example", cloud},
		{"cn-north-4", strings.Repeat("a.", 127) + "a", cloud},
		{"a/", "b/", region + "; " + cloud},
	} {
		vars := envWith(envGateway, "APIG_ENDPOINT", "", "HW_REGION_NAME", tt.region, "HW_CLOUD", tt.cloud, "HW_USER_ID", "u", "HW_PASSWORD", iamPassword)
		cfg, err := (&envFake{vars: vars}).config()
		require.EqualError(t, err, "apig: invalid argument: "+tt.want)
		_, err = New(cfg)
		require.ErrorContains(t, err, "Endpoint is not the address of a region", "even if nobody heeds the first error")
		r, err := http.NewRequest(http.MethodGet, testEndpoint, nil)
		require.NoError(t, err)
		require.ErrorContains(t, cfg.Auth.Authenticate(r), "IAM.Endpoint is not the address of a region")
	}
}

// Everything that is missing is named at once.
func TestEnvMissing(t *testing.T) {
	const where = "APIG_ENDPOINT and HW_REGION_NAME are not set; HW_PROJECT_ID is not set; APIG_INSTANCE_ID is not set"
	for name, tt := range map[string]struct {
		vars map[string]string
		file string
		want string
	}{
		"everything":             {map[string]string{}, "", where + "; " + envNone},
		"credentials":            {envGateway, "", envNone},
		"where":                  {map[string]string{"HW_AUTH_TOKEN": "t"}, "", where},
		"the instance":           {envWith(envGateway, "APIG_INSTANCE_ID", "", "HW_AUTH_TOKEN", "t"), "", "APIG_INSTANCE_ID is not set"},
		"the secret key":         {envWith(envGateway, "HW_ACCESS_KEY", "AK"), "", "HW_SECRET_KEY is not set"},
		"the access key":         {envWith(envGateway, "HW_SECRET_KEY", "SK"), "", "HW_ACCESS_KEY is not set"},
		"both, for a token":      {envWith(envGateway, "HW_SECURITY_TOKEN", "ST"), "", envNone},
		"the SDK's secret key":   {envWith(envGateway, "HUAWEICLOUD_SDK_AK", "AK"), "", "HUAWEICLOUD_SDK_SK is not set"},
		"the SDK's access key":   {envWith(envGateway, "HUAWEICLOUD_SDK_SK", "SK"), "", "HUAWEICLOUD_SDK_AK is not set"},
		"the file's secret key":  {envGateway, "[basic]\nak=AK\n", "sk in the credentials file is not set"},
		"the file's access key":  {envGateway, "[basic]\nsk=SK\n", "ak in the credentials file is not set"},
		"nothing in the file":    {envGateway, "[basic]\n", envNone},
		"another section of it":  {envGateway, "[global]\nak=AK\nsk=SK\n", envNone},
		"half a pair is no pair": {envWith(envGateway, "HW_ACCESS_KEY", "AK", "HUAWEICLOUD_SDK_AK", "AK", "HUAWEICLOUD_SDK_SK", "SK"), "[basic]\nak=AK\nsk=SK\n", "HW_SECRET_KEY is not set"},
		"the user and the domain": {
			envWith(envGateway, "HW_PASSWORD", "p", "HW_REGION_NAME", "cn-north-4"), "", "HW_USER_NAME is not set; HW_DOMAIN_NAME is not set",
		},
		"the password":            {envWith(envGateway, "HW_USER_ID", "u", "HW_REGION_NAME", "cn-north-4"), "", "HW_PASSWORD is not set"},
		"the password and domain": {envWith(envGateway, "HW_USER_NAME", "u", "HW_REGION_NAME", "cn-north-4"), "", "HW_DOMAIN_NAME is not set; HW_PASSWORD is not set"},
		"the address of IAM":      {envWith(envGateway, "HW_USER_ID", "u", "HW_PASSWORD", "p"), "", "HW_AUTH_URL and HW_REGION_NAME are not set"},
		"all of IAM": {
			map[string]string{"HW_USER_NAME": "u"}, "",
			where + "; HW_AUTH_URL and HW_REGION_NAME are not set; HW_DOMAIN_NAME is not set; HW_PASSWORD is not set",
		},
	} {
		fake := &envFake{vars: tt.vars, home: "/home/ci"}
		if tt.file != "" {
			fake.files = map[string]string{envHomeFile: tt.file}
		}
		_, err := fake.config()
		require.EqualError(t, err, "apig: invalid argument: "+tt.want, name)
		assert.ErrorIs(t, err, ErrInvalidArgument)
	}
}

// The user, in every form that is documented. Without HW_AUTH_URL, IAM is the one
// of the region. Its name is looked up and no more: .invalid is no domain.
func TestEnvIAM(t *testing.T) {
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	u := g.AddUser(apigtest.User{Name: "ci", DomainName: "acme", Password: iamPassword})
	base := envWith(envGateway, "HW_PROJECT_ID", g.ProjectID(), "HW_PASSWORD", iamPassword)
	r, err := http.NewRequest(http.MethodGet, testEndpoint, nil)
	require.NoError(t, err)
	for name, vars := range map[string]map[string]string{
		"id":                   envWith(base, "HW_USER_ID", u.ID, "HW_AUTH_URL", g.URL()),
		"name and domain name": envWith(base, "HW_USER_NAME", "ci", "HW_DOMAIN_NAME", "acme", "HW_AUTH_URL", g.URL()+"/"),
		"name and domain id":   envWith(base, "HW_USER_NAME", "ci", "HW_DOMAIN_ID", u.DomainID, "HW_AUTH_URL", g.URL()+"/v3"),
		"with a slash":         envWith(base, "HW_USER_NAME", "ci", "HW_DOMAIN_ID", u.DomainID, "HW_AUTH_URL", g.URL()+"/v3/"),
		"over the region":      envWith(base, "HW_USER_ID", u.ID, "HW_AUTH_URL", g.URL(), "HW_REGION_NAME", "cn-north-4"),
	} {
		cfg, err := (&envFake{vars: vars}).config()
		require.NoError(t, err, name)
		require.NoError(t, cfg.Auth.Authenticate(r), name)
	}

	cfg, err := (&envFake{vars: envWith(base, "HW_USER_ID", "u", "HW_REGION_NAME", "cn-north-4", "HW_CLOUD", "cloud.invalid")}).config()
	require.NoError(t, err)
	assert.Equal(t, testEndpoint, cfg.Endpoint)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := make(chan string, 1)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(address string) {
		select {
		case asked <- address:
		default:
		}
		cancel()
	}})
	require.Error(t, cfg.Auth.Authenticate(r.WithContext(ctx)))
	assert.Equal(t, "iam.cn-north-4.cloud.invalid:443", <-asked)
}

func TestEnvFile(t *testing.T) {
	want := map[string]string{"ak": "AK", "sk": "SK"}
	for name, tt := range map[string]struct {
		text string
		want map[string]string
	}{
		"plain":             {"[basic]\nak=AK\nsk=SK", want},
		"spaces":            {"  [basic]  \n\tak = AK \n sk\t=\tSK\t\n\n", want},
		"of Windows":        {"[basic]\r\nak=AK\r\nsk=SK\r\n", want},
		"comments":          {"# ak=X\n[basic]\n#ak=X\nak=AK\n; sk=X\nsk=SK\n# end", want},
		"other sections":    {"[global]\nak=X\nsk=X\n[basic]\nak=AK\nsk=SK\n[more]\nak=X\nsk=X\n", want},
		"a section again":   {"[basic]\nak=AK\n[global]\nak=X\n[basic]\nsk=SK\n", want},
		"before a section":  {"ak=X\n[basic]\nak=AK\nsk=SK", want},
		"an equals sign":    {"[basic]\nak=AK\nsk=S=K==\n", map[string]string{"ak": "AK", "sk": "S=K=="}},
		"an empty value":    {"[basic]\nak=\nsk=SK", map[string]string{"ak": "", "sk": "SK"}},
		"what is not a key": {"[basic]\nak=AK\nnonsense\nsk=SK", want},
		"no section":        {"ak=AK\nsk=SK", map[string]string{}},
		"similar sections":  {"[basics]\nak=X\n[Basic]\nak=X\n[ba]\nak=X", map[string]string{}},
		"empty":             {"", map[string]string{}},
	} {
		assert.Equal(t, tt.want, basicSection(tt.text), name)
	}
}

// That there is no file is a mistake only if there should be one; that it cannot
// be read always is. It is said once.
func TestEnvUnreadableFile(t *testing.T) {
	const named = "/etc/ci/credentials"
	withFile := envWith(envGateway, "HUAWEICLOUD_SDK_CREDENTIALS_FILE", named)
	unread := func(path, why string) string {
		return "the credentials file cannot be read: open " + path + ": " + why + "; "
	}
	for name, tt := range map[string]struct {
		fake *envFake
		want string
	}{
		"none at home":       {&envFake{vars: envGateway, home: "/home/ci"}, envNone},
		"no home":            {&envFake{vars: envGateway, homeErr: errors.New("$HOME is not defined")}, envNone},
		"unreadable at home": {&envFake{vars: envGateway, home: "/home/ci", files: map[string]string{envHomeFile: "forbidden"}}, unread(envHomeFile, "permission denied") + envNone},
		"named, and not there": {
			&envFake{vars: withFile, home: "/home/ci", files: map[string]string{envHomeFile: "[basic]\nak=AK\nsk=SK"}}, unread(named, "file does not exist") + envNone,
		},
		"named, and unreadable": {&envFake{vars: withFile, files: map[string]string{named: "forbidden"}}, unread(named, "permission denied") + envNone},
		"for the project only": {
			&envFake{vars: envWith(withFile, "HW_PROJECT_ID", "", "HW_AUTH_TOKEN", "t")}, unread(named, "file does not exist") + "HW_PROJECT_ID is not set",
		},
		"in UTF-16": {
			&envFake{vars: withFile, files: map[string]string{named: "\xff\xfe[\x00b\x00"}}, "the credentials file cannot be read: it is in UTF-16 and not in UTF-8; " + envNone,
		},
		"in the other UTF-16": {
			&envFake{vars: withFile, files: map[string]string{named: "\xfe\xff\x00["}}, "the credentials file cannot be read: it is in UTF-16 and not in UTF-8; " + envNone,
		},
		"a name that is turned around": {
			&envFake{vars: envWith(envGateway, "HUAWEICLOUD_SDK_CREDENTIALS_FILE", "/etc/\u202eci")}, unread(`/etc/\u202eci`, "file does not exist") + envNone,
		},
	} {
		_, err := tt.fake.config()
		require.EqualError(t, err, "apig: invalid argument: "+tt.want, name)
		assert.LessOrEqual(t, len(tt.fake.read), 1, name)
	}
	fake := &envFake{vars: envWith(withFile, "HW_AUTH_TOKEN", "t")}
	_, err := fake.config()
	require.NoError(t, err, "named, but not needed")
	assert.Empty(t, fake.read)
}

// The variables that are read are the documented ones, all of them.
func TestEnvDocumented(t *testing.T) {
	asked := map[string]bool{}
	for _, vars := range []map[string]string{
		{}, {"HW_AUTH_TOKEN": "t"}, {"HW_ACCESS_KEY": "AK", "HW_REGION_NAME": "cn-north-4"}, {"HW_PASSWORD": "p"}, {"HUAWEICLOUD_SDK_AK": "AK"},
	} {
		fake := &envFake{vars: vars}
		_, _ = fake.config()
		for _, name := range fake.asked {
			asked[name] = true
		}
	}
	source, err := os.ReadFile("env.go")
	require.NoError(t, err)
	comment := regexp.MustCompile(`(?s)// ConfigFromEnv makes.*?\nfunc `).Find(source)
	documented := map[string]bool{}
	for _, name := range regexp.MustCompile(`\b(APIG|HW|HUAWEICLOUD)_[A-Z_]+\b`).FindAll(comment, -1) {
		documented[string(name)] = true
	}
	assert.Equal(t, slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(asked)))
}

// envClear unsets everything that ConfigFromEnv looks at, and gives it a home of
// its own, whose file of credentials is returned.
func envClear(t *testing.T) (file string) {
	t.Helper()
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "APIG_") || strings.HasPrefix(name, "HW_") || strings.HasPrefix(name, "HUAWEICLOUD_") {
			t.Setenv(name, "")
		}
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	return filepath.Join(home, ".huaweicloud", "credentials")
}

// The real environment and a real file, from the variables to a publication; with
// the mark of editors of Windows in front or without, and not beyond 1 MiB.
func TestConfigFromEnv(t *testing.T) {
	file := envClear(t)
	_, err := ConfigFromEnv()
	require.ErrorIs(t, err, ErrInvalidArgument)
	assert.Equal(t, 4, strings.Count(err.Error(), " set"), "%v", err)
	require.NoError(t, os.Mkdir(filepath.Dir(file), 0o700))
	_, err = ConfigFromEnv()
	assert.NotContains(t, err.Error(), "the credentials file", "that there is none is no mistake")

	var text string
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.AddKeys(keysAccess, keysSecret, keysSecurity)
		t.Setenv("APIG_ENDPOINT", s.URL())
		t.Setenv("APIG_INSTANCE_ID", s.InstanceID())
		publish := func() string {
			cfg, err := ConfigFromEnv()
			require.NoError(t, err)
			transport := s.Transport()
			defer transport.CloseIdleConnections()
			cfg.HTTPClient = &http.Client{Transport: transport}
			c, err := New(cfg)
			require.NoError(t, err)
			_, err = c.Publish(t.Context(), s.request(""))
			require.NoError(t, err)
			requests := s.Gateway.Requests()
			return requests[len(requests)-1].Header.Get("X-Auth-Token")
		}
		text = fmt.Sprintf("[basic]\nak = %s\nsk = %s\nsecurity_token = %s\nproject_id = %s\n", keysAccess, keysSecret, keysSecurity, s.ProjectID())
		for _, written := range []string{text, "\ufeff" + text, text + strings.Repeat("#", maxFile-len(text))} {
			require.NoError(t, os.WriteFile(file, []byte(written), 0o600))
			assert.Empty(t, publish())
		}
		t.Setenv("HW_AUTH_TOKEN", s.Token())
		assert.Equal(t, s.Token(), publish())
		t.Setenv("HW_AUTH_TOKEN", "")
	})

	require.NoError(t, os.WriteFile(file, []byte(text+strings.Repeat("#", maxFile+1-len(text))), 0o600))
	_, err = ConfigFromEnv()
	assert.ErrorContains(t, err, "the credentials file cannot be read: read "+file+": it is longer than 1 MiB")
	require.NoError(t, os.Truncate(file, 1<<40), "a file of a terabyte without anything in it")
	costOf(func() { _, err = ConfigFromEnv() }).assertSmall(t, "a terabyte")
	assert.ErrorContains(t, err, "longer than 1 MiB")
	require.NoError(t, os.WriteFile(file, []byte("[basic]\n"+strings.Repeat("a=\n", maxFile/3-3)), 0o600))
	costOf(func() { _, err = ConfigFromEnv() }).assertSmall(t, "tiny lines")

	require.NoError(t, os.Remove(file))
	require.NoError(t, os.Mkdir(file, 0o700))
	_, err = ConfigFromEnv()
	assert.ErrorContains(t, err, "the credentials file cannot be read", "a directory")
	t.Setenv("HOME", "")
	t.Setenv("USERPROFILE", "")
	_, err = ConfigFromEnv()
	assert.NotContains(t, err.Error(), "the credentials file cannot be read", "no home")
}

// Nothing but ConfigFromEnv takes anything from these variables.
func TestEnvIsReadOnRequestOnly(t *testing.T) {
	envClear(t)
	for name, value := range map[string]string{
		"APIG_ENDPOINT": testEndpoint, "HW_PROJECT_ID": testProject, "APIG_INSTANCE_ID": testInstance,
		"HW_AUTH_TOKEN": testToken, "HW_ACCESS_KEY": keysAccess, "HW_SECRET_KEY": keysSecret, "HW_PASSWORD": iamPassword,
		"HW_USER_NAME": "ci", "HW_DOMAIN_NAME": "acme", "HW_AUTH_URL": iamAddress, "HW_REGION_NAME": "cn-north-4",
	} {
		t.Setenv(name, value)
	}
	_, err := New(Config{})
	require.EqualError(t, err, "apig: invalid argument: Endpoint is empty; ProjectID is empty; InstanceID is empty; Auth is nil")
	_, err = new(IAM).Token(t.Context())
	require.EqualError(t, err, "apig: invalid argument: IAM.Username and IAM.UserID are empty; IAM.Password is empty; IAM.Endpoint is empty")
}

// FuzzINI reads any file: what comes out of it is in it, in the section, and reads
// the same when it is written again.
func FuzzINI(f *testing.F) {
	f.Add("[basic]\nak=AK\nsk = S=K\n[global]\nak=X\n")
	f.Fuzz(func(t *testing.T, text string) {
		keys := basicSection(text)
		if len(keys) > 0 && !strings.Contains(text, "[basic]") && !strings.Contains(text, "[basic") {
			t.Fatal(keys)
		}
		var again strings.Builder
		again.WriteString("[basic]\n")
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if !strings.Contains(text, key) || !strings.Contains(text, keys[key]) {
				t.Fatalf("%q=%q", key, keys[key])
			}
			fmt.Fprintf(&again, "%s=%s\n", key, keys[key])
		}
		if got := basicSection(again.String()); !maps.Equal(keys, got) {
			t.Fatalf("%q, and then %q", keys, got)
		}
	})
}
