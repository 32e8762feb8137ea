package gateway

import (
	"fmt"
	"strings"
	"unicode"
)

// Inventory is all that a gateway was made with, and what clients need to know.
type Inventory struct {
	URL          string     `json:"url"`
	Control      string     `json:"control"`
	ProjectID    string     `json:"project_id"`
	InstanceID   string     `json:"instance_id"`
	Region       string     `json:"region"`
	APIs         []Made     `json:"apis"`
	Groups       []Made     `json:"groups"`
	Environments []Made     `json:"environments"`
	Variables    []Variable `json:"variables,omitempty"`
	Unset        []string   `json:"unset,omitempty"` // variables that lead elsewhere
}

// Made is an API, a group or an environment.
type Made struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Group string `json:"group,omitempty"` // of an API; empty for DEFAULT
}

// Variable is one of the environment.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// otherVariables would lead clients elsewhere: they name credentials, a file or a profile
// with credentials, or the owner of a project, for this library and the Terraform provider
// (HW_*), the official SDKs (HUAWEICLOUD_SDK_*) and clients of OpenStack (OS_*).
var otherVariables = []string{
	"HW_AUTH_TOKEN", "HW_ACCESS_KEY", "HW_SECRET_KEY", "HW_SECURITY_TOKEN", "HW_USER_NAME", "HW_USER_ID",
	"HW_USER_PASSWORD", "HW_PASSWORD", "HW_DOMAIN_NAME", "HW_DOMAIN_ID", "HW_PROFILE", "HW_SHARED_CONFIG_FILE",
	"HW_ASSUME_ROLE_AGENCY_NAME", "HW_ASSUME_ROLE_DOMAIN_NAME", "HW_ASSUME_ROLE_DOMAIN_ID",
	"HW_ASSUME_ROLE_IDP_ID", "HW_ASSUME_ROLE_ID_TOKEN", "HW_ASSUME_ROLE_ID_TOKEN_FILE",
	"HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN", "HUAWEICLOUD_SDK_DOMAIN_ID",
	"HUAWEICLOUD_SDK_IDP_ID", "HUAWEICLOUD_SDK_ID_TOKEN_FILE", "HUAWEICLOUD_SDK_CREDENTIALS_FILE",
	"OS_CLOUD", "OS_AUTH_TYPE", "OS_TOKEN", "OS_AUTH_TOKEN", "OS_USERNAME", "OS_USER_ID", "OS_PASSWORD",
	"OS_USER_DOMAIN_NAME", "OS_USER_DOMAIN_ID", "OS_ACCESS_KEY", "OS_SECRET_KEY", "OS_AGENCY_NAME", "HW_CLOUD",
	"OS_DOMAIN_NAME", "OS_DOMAIN_ID", "OS_PROJECT_DOMAIN_NAME", "OS_PROJECT_DOMAIN_ID", "OS_TENANT_ID",
}

// variables lead clients to the gateway and to its credentials.
func (s *Settings) variables(g *Gateway) []Variable {
	var all []Variable
	set := func(value string, names ...string) {
		for _, name := range names {
			if value != "" {
				all = append(all, Variable{name, value})
			}
		}
	}
	set(g.URL(), "APIGTEST_URL", "APIG_ENDPOINT", "HUAWEICLOUD_SDK_IAM_ENDPOINT",
		"HUAWEICLOUD_SDK_REGION_APIG_"+strings.ToUpper(strings.ReplaceAll(s.Region, "-", "_")))
	set(g.URL()+"/v3", "HW_AUTH_URL", "OS_AUTH_URL")
	set(g.InstanceID(), "APIG_INSTANCE_ID")
	set(g.ProjectID(), "HW_PROJECT_ID", "HUAWEICLOUD_SDK_PROJECT_ID", "OS_PROJECT_ID")
	set(s.Region, "HW_REGION_NAME", "HW_PROJECT_NAME", "OS_REGION_NAME")
	set("3", "OS_IDENTITY_API_VERSION")
	if len(s.Tokens) > 0 {
		set(s.Tokens[0], "HW_AUTH_TOKEN")
	}
	set(s.AccessKey, "HW_ACCESS_KEY", "HUAWEICLOUD_SDK_AK", "OS_ACCESS_KEY")
	set(s.SecretKey, "HW_SECRET_KEY", "HUAWEICLOUD_SDK_SK", "OS_SECRET_KEY")
	switch { // openstackclient fails if a token is set that its type does not take
	case s.User != "":
		set(s.User, "HW_USER_NAME", "OS_USERNAME")
		set(s.Password, "HW_USER_PASSWORD", "HW_PASSWORD", "OS_PASSWORD")
		set(s.Domain, "HW_DOMAIN_NAME", "OS_USER_DOMAIN_NAME")
		set("v3password", "OS_AUTH_TYPE")
	case len(s.Tokens) > 0:
		set("v3token", "OS_AUTH_TYPE")
		set(s.Tokens[0], "OS_TOKEN")
	}
	// Go on Linux, Python's requests, OpenStack, Node.js and curl, in this order.
	set(s.CertFile, "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "OS_CACERT", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE")
	return all
}

// Shell is the inventory as shell commands and comments.
func (made Inventory) Shell() string {
	var b strings.Builder
	fmt.Fprintf(&b, "unset %s\n", strings.Join(made.Unset, " "))
	for _, v := range made.Variables {
		fmt.Fprintf(&b, "export %s=%s\n", v.Name, quote(v.Value))
	}
	list := func(kind string, all []Made) {
		for _, m := range all {
			in := ""
			if m.Group != "" {
				in = " in group " + m.Group
			}
			fmt.Fprintf(&b, "# %s %s %s\n", kind, m.ID, comment(m.Name+in))
		}
	}
	list("API", made.APIs)
	list("group", made.Groups)
	list("environment", made.Environments)
	return b.String()
}

// quote makes one word of a shell of any text.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// comment keeps a text within its line: what follows a line break would be executed.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
