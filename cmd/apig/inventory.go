package main

import (
	"fmt"
	"strings"
)

// inventory is all that a gateway was made with, and what clients need to know.
type inventory struct {
	URL          string     `json:"url"`
	Control      string     `json:"control"`
	ProjectID    string     `json:"project_id"`
	InstanceID   string     `json:"instance_id"`
	Region       string     `json:"region"`
	APIs         []madeAPI  `json:"apis"`
	Groups       []named    `json:"groups"`
	Environments []named    `json:"environments"`
	Variables    []variable `json:"variables"`
}

type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type madeAPI struct {
	named
	Group string `json:"group,omitempty"`
}

// variable is one of the environment.
type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// variables are those that clients find the gateway and its credentials by: this
// library and the Terraform provider (HW_*), the official SDKs
// (HUAWEICLOUD_SDK_*) and clients of OpenStack (OS_*).
func (g *servedGateway) variables() []variable {
	var all []variable
	set := func(name, value string) { all = append(all, variable{name, value}) }
	o := g.options
	set("APIGTEST_URL", g.URL())
	set("APIG_ENDPOINT", g.URL())
	set("APIG_INSTANCE_ID", g.InstanceID())
	set("HW_REGION_NAME", o.region)
	set("HW_PROJECT_ID", g.ProjectID())
	set("HW_PROJECT_NAME", o.region)
	set("HW_AUTH_URL", g.URL()+"/v3")
	set("HUAWEICLOUD_SDK_PROJECT_ID", g.ProjectID())
	set("HUAWEICLOUD_SDK_IAM_ENDPOINT", g.URL())
	set("HUAWEICLOUD_SDK_REGION_APIG_"+strings.ToUpper(strings.ReplaceAll(o.region, "-", "_")), g.URL())
	set("OS_AUTH_URL", g.URL()+"/v3")
	set("OS_IDENTITY_API_VERSION", "3")
	set("OS_REGION_NAME", o.region)
	set("OS_PROJECT_ID", g.ProjectID())
	if len(o.tokens) > 0 {
		set("HW_AUTH_TOKEN", o.tokens[0])
	}
	if o.accessKey != "" {
		set("HW_ACCESS_KEY", o.accessKey)
		set("HW_SECRET_KEY", o.secretKey)
		set("HUAWEICLOUD_SDK_AK", o.accessKey)
		set("HUAWEICLOUD_SDK_SK", o.secretKey)
		set("OS_ACCESS_KEY", o.accessKey)
		set("OS_SECRET_KEY", o.secretKey)
	}
	if o.user != "" {
		set("HW_USER_NAME", o.user)
		set("HW_PASSWORD", o.password)
		set("HW_DOMAIN_NAME", o.domain)
		set("OS_USERNAME", o.user)
		set("OS_PASSWORD", o.password)
		set("OS_USER_DOMAIN_NAME", o.domain)
	}
	switch { // openstackclient fails if a token is set that its type does not take
	case o.user != "":
		set("OS_AUTH_TYPE", "v3password")
	case len(o.tokens) > 0:
		set("OS_AUTH_TYPE", "v3token")
		set("OS_TOKEN", o.tokens[0])
	}
	if o.tls {
		// Go on Linux, Python's requests, OpenStack, Node.js and curl, in this order.
		for _, name := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "OS_CACERT", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE"} {
			set(name, o.certFile)
		}
	}
	return all
}

// shell is the inventory as shell commands and comments.
func (made inventory) shell() string {
	var b strings.Builder
	for _, v := range made.Variables {
		fmt.Fprintf(&b, "export %s=%s\n", v.Name, quote(v.Value))
	}
	for _, api := range made.APIs {
		in := ""
		if api.Group != "" {
			in = " in group " + api.Group
		}
		fmt.Fprintf(&b, "# API %s %s%s\n", api.ID, printable(api.Name), printable(in))
	}
	for _, group := range made.Groups {
		fmt.Fprintf(&b, "# group %s %s\n", group.ID, printable(group.Name))
	}
	for _, env := range made.Environments {
		fmt.Fprintf(&b, "# environment %s %s\n", env.ID, printable(env.Name))
	}
	return b.String()
}

// quote makes one word of a shell, whatever is in it.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
