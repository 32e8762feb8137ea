package apig

import (
	"context"
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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// envFake is an environment made of maps, which notes what is asked of it.
type envFake struct {
	vars  map[string]string
	files map[string]string

	asked []string // variables
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
		home: func() (string, error) { return "/home/ci", nil },
	}.config()
}

const (
	envNone = "no credentials are set (HW_AUTH_TOKEN, HW_ACCESS_KEY, HW_USER_PASSWORD, HUAWEICLOUD_SDK_AK or a credentials file; " +
		"the keys of an ECS server's agency are not looked up: set Config.Auth to KeyAuth(&ECSKeys{}))"
	envNoProject = "HW_PROJECT_ID is not set (a project is not looked up by its name: the console shows the ID under My Credentials)"
)

var (
	// envHomeFile is where the official SDKs have their file.
	envHomeFile = filepath.Join("/home/ci", ".huaweicloud", "credentials")

	// envGateway names a gateway, and no credentials.
	envGateway = map[string]string{"APIG_ENDPOINT": testEndpoint, "HW_PROJECT_ID": testProject, "APIG_INSTANCE_ID": testInstance}
)

// envWith is a copy of base with more variables. An empty value removes one.
func envWith(base map[string]string, more ...string) map[string]string {
	vars := maps.Clone(base)
	for i := 0; i+1 < len(more); i += 2 {
		if vars[more[i]] = more[i+1]; more[i+1] == "" {
			delete(vars, more[i])
		}
	}
	return vars
}

// envUses says which credentials these are.
func envUses(t *testing.T, auth Authenticator) string {
	t.Helper()
	if static, ok := auth.(*staticKeys); ok {
		keys := static.pair.keys()
		return strings.TrimSpace("keys " + keys.AccessKey + " " + string(keys.SecretKey) + " " + string(keys.SecurityToken))
	}
	token, err := authenticated(t.Context(), auth)
	require.NoError(t, err)
	return "token " + token
}

// Each name gives its value, and each name is used before those after it. The file is read
// only where it is needed, and once.
func TestEnvOrder(t *testing.T) {
	g := gateway.NewGateway()
	t.Cleanup(g.Close)
	g.AddUser(gateway.User{Name: "ci", DomainName: "acme", Password: iamPassword})
	g.Inject(gateway.Fault{Op: gateway.OpToken, Header: http.Header{"X-Subject-Token": {"of-IAM"}}}.Always())
	file := "[basic]\nak=AK-FILE\nsk=SK-FILE\nsecurity_token=ST-FILE\nproject_id=of-the-file\n"
	fake := &envFake{
		vars: map[string]string{
			"APIG_ENDPOINT": testEndpoint, "APIG_INSTANCE_ID": testInstance,
			"HW_AUTH_TOKEN": "of-HW", "OS_AUTH_TOKEN": "of-OS",
			"HW_ACCESS_KEY": "AK-HW", "HW_SECRET_KEY": "SK-HW", "HW_SECURITY_TOKEN": "ST-HW", "OS_ACCESS_KEY": "AK-OS", "OS_SECRET_KEY": "SK-OS",
			"HW_USER_PASSWORD": iamPassword, "OS_PASSWORD": iamPassword, "HW_PASSWORD": iamPassword,
			"HW_USER_NAME": "ci", "OS_USERNAME": "ci", "HW_DOMAIN_NAME": "acme", "OS_DOMAIN_NAME": "acme", "OS_USER_DOMAIN_NAME": "acme",
			"OS_PROJECT_DOMAIN_NAME": "acme", "HW_AUTH_URL": g.URL() + "/v3", "OS_AUTH_URL": g.URL() + "/v3/",
			"HW_PROJECT_ID": "of-HW", "OS_PROJECT_ID": "of-OS", "OS_TENANT_ID": g.ProjectID(), "HUAWEICLOUD_SDK_PROJECT_ID": "of-the-SDK",
			"HUAWEICLOUD_SDK_AK": "AK-SDK", "HUAWEICLOUD_SDK_SK": "SK-SDK", "HUAWEICLOUD_SDK_SECURITY_TOKEN": "ST-SDK",
			"HUAWEICLOUD_SDK_CREDENTIALS_FILE": "/etc/ci/credentials",
		},
		files: map[string]string{"/etc/ci/credentials": file, envHomeFile: strings.ReplaceAll(file, "FILE", "HOME")},
	}
	for _, step := range []struct{ without, project, want string }{
		{"", "of-HW", "token of-HW"},
		{"HW_AUTH_TOKEN HW_PROJECT_ID", "of-OS", "token of-OS"},
		{"OS_AUTH_TOKEN OS_PROJECT_ID", g.ProjectID(), "keys AK-HW SK-HW ST-HW"},
		{"HW_SECURITY_TOKEN", g.ProjectID(), "keys AK-HW SK-HW"},
		{"HW_ACCESS_KEY HW_SECRET_KEY", g.ProjectID(), "keys AK-OS SK-OS"},
		{"OS_ACCESS_KEY OS_SECRET_KEY", g.ProjectID(), "token of-IAM"},
		{"HW_USER_PASSWORD HW_USER_NAME HW_DOMAIN_NAME HW_AUTH_URL", g.ProjectID(), "token of-IAM"},
		{"OS_PASSWORD OS_DOMAIN_NAME", g.ProjectID(), "token of-IAM"},
		{"OS_USER_DOMAIN_NAME", g.ProjectID(), "token of-IAM"},
		{"HW_PASSWORD OS_USERNAME OS_TENANT_ID", "of-the-SDK", "keys AK-SDK SK-SDK ST-SDK"},
		{"HUAWEICLOUD_SDK_SECURITY_TOKEN HUAWEICLOUD_SDK_PROJECT_ID", "of-the-file", "keys AK-SDK SK-SDK"},
		{"HUAWEICLOUD_SDK_AK HUAWEICLOUD_SDK_SK", "of-the-file", "keys AK-FILE SK-FILE ST-FILE"},
		{"HUAWEICLOUD_SDK_CREDENTIALS_FILE", "of-the-file", "keys AK-HOME SK-HOME ST-HOME"},
	} {
		for _, name := range strings.Fields(step.without) {
			require.Contains(t, fake.vars, name)
			delete(fake.vars, name)
		}
		fake.read = nil
		cfg, err := fake.config()
		require.NoError(t, err, step.want)
		assert.Equal(t, step.project, cfg.ProjectID, step.without)
		assert.Equal(t, step.want, envUses(t, cfg.Auth), step.without)
		assert.Len(t, fake.read, map[bool]int{true: 1}[step.project == "of-the-file"], step.without)
		_, err = New(cfg)
		require.NoError(t, err)
		cfg.Endpoint, cfg.ProjectID, cfg.InstanceID, cfg.Auth = "", "", "", nil
		assert.Equal(t, Config{}, cfg, "the caller sets the rest")
	}
	delete(fake.files, envHomeFile)
	_, err := fake.config()
	require.EqualError(t, err, "apig: invalid argument: "+envNoProject+"; "+envNone)
}

func TestEnvEndpoint(t *testing.T) {
	for want, vars := range map[string][]string{
		testEndpoint: {"APIG_ENDPOINT", testEndpoint, "HW_REGION_NAME", "cn-north-4", "HW_CLOUD", "x.example.com"},
		"https://apig.cn-north-4.myhuaweicloud.com":  {"HW_REGION_NAME", "cn-north-4", "OS_REGION_NAME", "cn-north-1"},
		"https://apig.cn-north-1.myhuaweicloud.com":  {"OS_REGION_NAME", "cn-north-1"},
		"https://apig.eu-west-101.myhuaweicloud.eu":  {"HW_REGION_NAME", "eu-west-101"},
		"https://apig.eu-de.otc.t-systems.com":       {"HW_REGION_NAME", "eu-de", "HW_CLOUD", "otc.t-systems.com"},
		"https://apig.eu-west-101.cloud.example.com": {"HW_REGION_NAME", "eu-west-101", "HW_CLOUD", "cloud.example.com"},
	} {
		cfg, err := (&envFake{vars: envWith(envWith(envGateway, "APIG_ENDPOINT", "", "HW_AUTH_TOKEN", "t"), vars...)}).config()
		require.NoError(t, err, want)
		assert.Equal(t, want, cfg.Endpoint)
	}
}

// A region is one label of a name in the DNS, and a cloud is such a name. Anything else
// could be an address of somebody else: ConfigFromEnv names it, and New and IAM refuse it.
func TestEnvRegion(t *testing.T) {
	const (
		region = "HW_REGION_NAME is not the name of a region, such as cn-north-4"
		cloud  = "HW_CLOUD is not the name of a domain, such as myhuaweicloud.com"
	)
	for _, tt := range []struct{ region, cloud, want string }{
		{"user:" + iamPassword + "@evil", "", region},
		{"cn-north-4", "evil.example:444", cloud},
		{"cn-north-4", "@evil.example", cloud},
		{"cn-north-4", "evil..example", cloud},
		{"cn-north-4", "evil\u202e.example", cloud},
		{"cn-north-4", strings.Repeat("a.", 127) + "a", cloud},
		{"a/", "b/", region + "; " + cloud},
	} {
		vars := envWith(envGateway, "APIG_ENDPOINT", "", "HW_REGION_NAME", tt.region, "HW_CLOUD", tt.cloud, "HW_USER_ID", "u", "HW_PASSWORD", iamPassword)
		cfg, err := (&envFake{vars: vars}).config()
		require.EqualError(t, err, "apig: invalid argument: "+tt.want)
		_, err = New(cfg)
		require.ErrorContains(t, err, "Endpoint is not the address of a region")
		r, err := http.NewRequest(http.MethodGet, testEndpoint, nil)
		require.NoError(t, err)
		require.ErrorContains(t, cfg.Auth.Authenticate(r), "IAM.Endpoint is not the address of a region")
	}
}

// Everything that is missing is named at once.
func TestEnvMissing(t *testing.T) {
	const where = "APIG_ENDPOINT and HW_REGION_NAME are not set; " + envNoProject + "; APIG_INSTANCE_ID is not set"
	gateway := func(more ...string) map[string]string { return envWith(envGateway, more...) }
	for _, tt := range []struct {
		vars map[string]string
		file string // at home
		want string
	}{
		{map[string]string{}, "", where + "; " + envNone},
		{gateway("HW_PROJECT_ID", "", "HW_PROJECT_NAME", "cn-north-4", "HW_AUTH_TOKEN", "t"), "", envNoProject},
		{gateway("HW_ACCESS_KEY", "AK"), "", "HW_SECRET_KEY is not set"},
		{gateway("OS_SECRET_KEY", "SK"), "", "HW_ACCESS_KEY is not set"},
		{gateway("HW_SECURITY_TOKEN", "ST"), "", envNone},
		{gateway("HUAWEICLOUD_SDK_AK", "AK"), "", "HUAWEICLOUD_SDK_SK is not set"},
		{gateway("HUAWEICLOUD_SDK_SK", "SK"), "", "HUAWEICLOUD_SDK_AK is not set"},
		{envGateway, "[basic]\nak=AK\n", "sk in the credentials file is not set"},
		{envGateway, "[basic]\nsk=SK\n", "ak in the credentials file is not set"},
		{envGateway, "[basic]\n", envNone},
		{gateway("HW_ACCESS_KEY", "AK", "HUAWEICLOUD_SDK_AK", "AK", "HUAWEICLOUD_SDK_SK", "SK"), "[basic]\nak=AK\nsk=SK\n", "HW_SECRET_KEY is not set"},
		{gateway("OS_PASSWORD", "p", "HW_REGION_NAME", "cn-north-4"), "", "HW_USER_NAME is not set; HW_DOMAIN_NAME is not set"},
		{gateway("OS_USER_ID", "u"), "", "HW_AUTH_URL and HW_REGION_NAME are not set; HW_USER_PASSWORD is not set"},
		{envGateway, "[basic]\nak=AK\nsk=SK ; of today\n",
			"the credentials file cannot be read: line 3 has # or ; in its value, where the official SDKs begin a comment; " + envNone},
	} {
		fake := &envFake{vars: tt.vars}
		if tt.file != "" {
			fake.files = map[string]string{envHomeFile: tt.file}
		}
		_, err := fake.config()
		require.EqualError(t, err, "apig: invalid argument: "+tt.want)
		assert.ErrorIs(t, err, ErrInvalidArgument)
	}
}

// The user by ID, and the domain by ID. Without an address of its own, IAM is the one of
// the region. Its name is only looked up: .invalid is no domain.
func TestEnvIAM(t *testing.T) {
	g := gateway.NewGateway()
	t.Cleanup(g.Close)
	u := g.AddUser(gateway.User{Name: "ci", DomainName: "acme", Password: iamPassword})
	base := envWith(envGateway, "HW_PROJECT_ID", g.ProjectID(), "HW_USER_PASSWORD", iamPassword)
	for _, vars := range [][]string{
		{"HW_USER_ID", u.ID, "HW_AUTH_URL", g.URL(), "HW_REGION_NAME", "cn-north-4"},
		{"OS_USER_ID", u.ID, "HW_AUTH_URL", g.URL() + "/"},
		{"HW_USER_NAME", "ci", "HW_DOMAIN_ID", u.DomainID, "OS_AUTH_URL", g.URL() + "/v3"},
		{"HW_USER_NAME", "ci", "OS_DOMAIN_ID", u.DomainID, "OS_AUTH_URL", g.URL() + "/v3/"},
		{"HW_USER_NAME", "ci", "OS_USER_DOMAIN_ID", u.DomainID, "HW_AUTH_URL", g.URL()},
		{"HW_USER_NAME", "ci", "OS_PROJECT_DOMAIN_ID", u.DomainID, "HW_AUTH_URL", g.URL()},
	} {
		cfg, err := (&envFake{vars: envWith(base, vars...)}).config()
		require.NoError(t, err, vars)
		require.NoError(t, second(authenticated(t.Context(), cfg.Auth)), vars)
	}

	cfg, err := (&envFake{vars: envWith(base, "HW_USER_ID", "u", "HW_REGION_NAME", "cn-north-4", "HW_CLOUD", "cloud.invalid")}).config()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := make(chan string, 9)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(address string) { asked <- address; cancel() }})
	require.Error(t, second(authenticated(ctx, cfg.Auth)))
	assert.Equal(t, "iam.cn-north-4.cloud.invalid:443", <-asked)
}

// Files and how gopkg.in/ini.v1, which the official SDKs read them with, reads them. A file
// that is refused is one that it refuses as well, or reads in a way that surprises.
func TestEnvFile(t *testing.T) {
	both := map[string]string{"ak": "AK", "sk": "SK"}
	ak := func(value string) map[string]string { return map[string]string{"ak": value} }
	none := map[string]string{}
	for text, want := range map[string]map[string]string{
		"[basic]\nak=AK\nsk=SK":                                                      both,
		"  [basic]  \n\tak: AK \n sk\t=\tSK\t\n\n":                                   both,
		"\ufeff[basic]\r\nak=AK\r\nsk=SK\r\n":                                        both, // of Windows
		"# ak=X\n[basic] # the first\n#ak=X\nak=AK\n ; sk=X\nsk=SK\n# end":           both,
		"[global]\nak=X\n[basic]\nak=X\nak=AK\n[global]\nsk=X\n[basic]\nsk=SK\n":     both,
		"ak=X\n[a]b]\nak=X\n[basic]\nak=AK\nsk=SK\n[more]\nak = X ; Y":               both,
		"[basic]\nak=AK\niam_endpoint = https://iam.example.com # ours\nsk=SK\nAK=X": both,
		"[basic]\nak = \"AK\"\nsk = 'SK'":                                            both,
		"[basic]\nak = \" AK \"":                                                     ak(" AK "),
		"[basic]\nak = \"A\"K\"":                                                     ak("\"A\"K\""),
		"[basic]\nak = \"":                                                           ak("\""),
		"[basic]\nak = \"AK'":                                                        ak("\"AK'"),
		"[basic]\nak = A\\K":                                                         ak("A\\K"),
		"[basic]\nak:A=K==\n":                                                        ak("A=K=="),
		"[basic]\nak=100%\n":                                                         ak("100%"),
		"[basic]\nak=\nsk=SK":                                                        {"ak": "", "sk": "SK"},
		"ak=AK\nsk=SK":                                                               none, "": none,
		"[basics]\nak=X\n[Basic]\nak=X\n[ba]\nak=X\n[ basic ]\nak=X\n[basic.x]\nak=X": none,
	} {
		got, err := basicSection(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	const secret = "S3CRET"
	for text, want := range map[string]string{
		"[basic]\nak=AK\n" + secret:                "line 3 is neither a section, a key with a value nor a comment",
		"[basic]\n=" + secret:                      "line 2 is neither a section, a key with a value nor a comment",
		"\n\n[basic" + secret:                      "line 3 begins a section without a name or a ]",
		"[]\nak=" + secret:                         "line 1 begins a section without a name or a ]",
		"[basic]\n\"ak\" = " + secret:              "line 2 has a key in quotes, which is not supported",
		"[basic]\r\nsk = `" + secret + "`":         "line 2 has a value in backquotes or three quotes, which is not supported",
		"[basic]\nsk = \"\"\"" + secret + "\"\"\"": "line 2 has a value in backquotes or three quotes, which is not supported",
		"[basic]\nsk = " + secret + "\\ \nak=AK":   "line 2 ends in a backslash, and continued lines are not supported",
		"[more]\nx = \\\n[basic]\nsk = " + secret:  "line 2 ends in a backslash, and continued lines are not supported",
		"[basic]\nsk = " + secret + " # of today":  "line 2 has # or ; in its value, where the official SDKs begin a comment",
		"[basic]\nsk = \"" + secret + "#1\"":       "line 2 has # or ; in its value, where the official SDKs begin a comment",
		"[basic]\nak=AK\nsk = %(ak)s" + secret:     "line 3 has %( in its value, where the official SDKs insert another value",
		"\xff\xfe[\x00b\x00" + secret:              "it is in UTF-16 and not in UTF-8",
		"\ufeff\ufeff[basic]\nak=AK\nsk=" + secret: "line 1 is neither a section, a key with a value nor a comment",
	} {
		got, err := basicSection(text)
		require.EqualError(t, err, want, "%q", text)
		assert.Empty(t, got)
	}
}

// A missing file is an error only if it is named, a file that cannot be read always.
func TestEnvUnreadableFile(t *testing.T) {
	const named = "/etc/ci/credentials"
	withFile := envWith(envGateway, "HUAWEICLOUD_SDK_CREDENTIALS_FILE", named)
	unread := func(path, why string) string {
		return "the credentials file cannot be read: open " + path + ": " + why + "; "
	}
	atHome := map[string]string{envHomeFile: "[basic]\nak=AK\nsk=SK"}
	for want, fake := range map[string]*envFake{
		unread(envHomeFile, "permission denied") + envNone:       {vars: envGateway, files: map[string]string{envHomeFile: "forbidden"}},
		unread(named, "file does not exist") + envNone:           {vars: withFile, files: atHome},
		unread(named, "permission denied") + envNone:             {vars: withFile, files: map[string]string{named: "forbidden"}},
		unread(named, "file does not exist") + envNoProject:      {vars: envWith(withFile, "HW_PROJECT_ID", "", "HW_AUTH_TOKEN", "t")},
		unread(`/etc/\u202eci`, "file does not exist") + envNone: {vars: envWith(envGateway, "HUAWEICLOUD_SDK_CREDENTIALS_FILE", "/etc/\u202eci")},
	} {
		_, err := fake.config()
		require.EqualError(t, err, "apig: invalid argument: "+want)
		assert.LessOrEqual(t, len(fake.read), 1, want)
	}
}

// The variables that are read are those of the table in the documentation.
func TestEnvDocumented(t *testing.T) {
	asked := map[string]bool{}
	for _, vars := range []map[string]string{{}, {"HW_REGION_NAME": "cn-north-4"}, {"HW_ACCESS_KEY": "AK"}, {"HUAWEICLOUD_SDK_AK": "AK"}} {
		fake := &envFake{vars: vars}
		_, _ = fake.config()
		for _, name := range fake.asked {
			asked[name] = true
		}
	}
	source, err := os.ReadFile("env.go")
	require.NoError(t, err)
	table := regexp.MustCompile(`(?s)//\tvalue .*?//\n`).Find(source)
	documented := map[string]bool{}
	for _, name := range regexp.MustCompile(`\b(APIG|HW|OS|HUAWEICLOUD)_[A-Z_]+\b`).FindAll(table, -1) {
		documented[string(name)] = true
	}
	assert.Equal(t, slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(asked)))
}

// envClear unsets everything that ConfigFromEnv reads, and returns the path of a file of
// credentials in a new home.
func envClear(t *testing.T) (file string) {
	t.Helper()
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if prefix, _, _ := strings.Cut(name, "_"); slices.Contains([]string{"APIG", "HW", "OS", "HUAWEICLOUD"}, prefix) {
			t.Setenv(name, "")
		}
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	return filepath.Join(home, ".huaweicloud", "credentials")
}

// The real environment and a real file, up to a publication. Only regular files of at most
// 1 MiB are read.
func TestConfigFromEnv(t *testing.T) {
	file := envClear(t)
	_, err := ConfigFromEnv()
	require.EqualError(t, err, "apig: invalid argument: APIG_ENDPOINT and HW_REGION_NAME are not set; "+envNoProject+"; APIG_INSTANCE_ID is not set; "+envNone)
	require.NoError(t, os.Mkdir(filepath.Dir(file), 0o700))

	var text string
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.AddKeys(keysAccess, keysSecret, keysSecurity)
		t.Setenv("APIG_ENDPOINT", s.URL())
		t.Setenv("APIG_INSTANCE_ID", s.InstanceID())
		text = fmt.Sprintf("[basic]\nak: %s\nsk = \"%s\"\nsecurity_token = %s\nproject_id = %s\n", keysAccess, keysSecret, keysSecurity, s.ProjectID())
		for _, written := range []string{text, "\ufeff" + text, text + strings.Repeat("#", maxFile-len(text))} {
			require.NoError(t, os.WriteFile(file, []byte(written), 0o600))
			cfg, err := ConfigFromEnv()
			require.NoError(t, err)
			c := clientOf(t, s.Gateway, func(c *Config) { cfg.HTTPClient = c.HTTPClient; *c = cfg })
			require.NoError(t, second(c.Publish(t.Context(), s.request(""))))
		}
	})

	require.NoError(t, os.WriteFile(file, []byte(text+strings.Repeat("#", maxFile+1-len(text))), 0o600))
	_, err = ConfigFromEnv()
	assert.ErrorContains(t, err, "the credentials file cannot be read: read "+file+": it is longer than 1 MiB")
	require.NoError(t, os.Truncate(file, 1<<40), "a file of a terabyte without anything in it")
	_, err = ConfigFromEnv()
	assert.ErrorContains(t, err, "longer than 1 MiB")
	for _, path := range []string{filepath.Dir(file), os.DevNull} {
		t.Setenv("HUAWEICLOUD_SDK_CREDENTIALS_FILE", path)
		_, err = ConfigFromEnv()
		assert.ErrorContains(t, err, "the credentials file cannot be read: read "+path+": it is not a regular file")
	}
	t.Setenv("HUAWEICLOUD_SDK_CREDENTIALS_FILE", "")
	t.Setenv("HOME", "")
	t.Setenv("USERPROFILE", "")
	_, err = ConfigFromEnv()
	assert.NotContains(t, err.Error(), "the credentials file cannot be read", "no home")

	// Nothing else takes anything from these variables.
	for name, value := range envWith(envGateway, "HW_AUTH_TOKEN", testToken, "HW_USER_PASSWORD", iamPassword, "HW_USER_NAME", "ci", "HW_AUTH_URL", iamAddress) {
		t.Setenv(name, value)
	}
	require.EqualError(t, second(New(Config{})), "apig: invalid argument: Endpoint is empty; ProjectID is empty; InstanceID is empty; Auth is nil")
	require.EqualError(t, second(new(IAM).Token(t.Context())), "apig: invalid argument: IAM.Username and IAM.UserID are empty; IAM.Password is empty; IAM.Endpoint is empty")
}

// FuzzINI reads any file. The keys that are read are in it, and are read the same when they
// are written again. An error shows nothing of the file.
func FuzzINI(f *testing.F) {
	f.Add("[basic]\nak=AK\nsk = S=K\n[global]\nak=X\n")
	f.Add("[basic]\nak: 'AK'\nsk = \"S K\" ; x\n")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := basicSection(text)
		if err != nil {
			if !regexp.MustCompile(`^(line \d+ (is|has|begins|ends) [ -~]+|it is in UTF-16 and not in UTF-8)$`).MatchString(err.Error()) {
				t.Fatal(err)
			}
			return
		}
		again := "[basic]\n"
		for key, value := range keys {
			if !strings.Contains(text, key) || !strings.Contains(text, value) {
				t.Fatalf("%q=%q", key, value)
			}
			quote := `"`
			if strings.Contains(value, quote) {
				quote = ""
			}
			again += key + "=" + quote + value + quote + "\n"
		}
		if got, err := basicSection(again); err != nil || !maps.Equal(keys, got) {
			t.Fatalf("%q, and then %q, %v", keys, got, err)
		}
	})
}
