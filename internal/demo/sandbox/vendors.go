package sandbox

import (
	"fmt"
	"slices"
)

// Page is one vendor as the sandbox plays it, written from the pages of the vendor's documentation.
type Page struct {
	// Vendor is the page's name, the one that the vendor has in the configuration.
	Vendor Vendor
	// AccountSettings returns the settings of an account at the page, which is served at baseURL,
	// as the entries of a YAML flow mapping.
	AccountSettings func(baseURL string) string
	// AccessText returns one human-readable line that describes how a client reaches the page.
	AccessText func(baseURL string) string

	newEndpoints func(*Server) []*endpoint
}

// BuiltinPages returns the vendors of the product with their options. To add a vendor, add its
// files to this package and one line here.
func BuiltinPages(opts Options) []Page {
	return []Page{crmcomPage(opts.CRMCOM), expointsPage(opts.Expoints), propelPage(opts.Propel)}
}

// Vendors returns the names of the product's vendors.
func Vendors() []Vendor {
	var names []Vendor
	for _, page := range BuiltinPages(Options{}) {
		names = append(names, page.Vendor)
	}
	return names
}

// Operations returns the full operation names that a rule may have in addition to vendor names: all
// operations of the product's vendors and of the additional pages, including logins.
func Operations(additional ...Page) []string {
	var names []string
	for _, target := range New(Options{AdditionalPages: additional}).endpoints {
		names = append(names, target.operation)
	}
	slices.Sort(names)
	return slices.Compact(names) // a login may have several endpoints
}

// allPages returns the pages that a server with these options plays.
func allPages(opts Options) []Page { return slices.Concat(BuiltinPages(opts), opts.AdditionalPages) }

func crmcomPage(opts CRMCOMOptions) Page {
	return Page{
		Vendor: CRMCOM,
		AccountSettings: func(baseURL string) string {
			return fmt.Sprintf("base_url: %q, auth: {web_api_key: %q}", baseURL+"/crmapi/rest/v2", DefaultWebAPIKey)
		},
		AccessText: func(baseURL string) string {
			return fmt.Sprintf("base_url %s/crmapi/rest/v2  web_api_key %s", baseURL, DefaultWebAPIKey)
		},
		newEndpoints: func(server *Server) []*endpoint { return newCRMCOM(server, opts).endpoints() },
	}
}

func expointsPage(opts ExpointsOptions) Page {
	return Page{
		Vendor:          Expoints,
		AccountSettings: func(baseURL string) string { return oauthSettings(baseURL, baseURL+ExpointsTokenPath) },
		AccessText:      func(baseURL string) string { return oauthText(baseURL, baseURL+ExpointsTokenPath) },
		newEndpoints:    func(server *Server) []*endpoint { return newExpoints(server, opts).endpoints() },
	}
}

func propelPage(opts PropelOptions) Page {
	return Page{
		Vendor:          Propel,
		AccountSettings: func(baseURL string) string { return oauthSettings(baseURL+"/v2", baseURL+PropelTokenPath) },
		AccessText:      func(baseURL string) string { return oauthText(baseURL+"/v2", baseURL+PropelTokenPath) },
		newEndpoints:    func(server *Server) []*endpoint { return newPropel(server, opts).endpoints() },
	}
}

func oauthSettings(apiURL, tokenURL string) string {
	return fmt.Sprintf("base_url: %q, auth: {token_url: %q, client_id: %q, client_secret: %q}",
		apiURL, tokenURL, DefaultClientID, DefaultClientSecret)
}

func oauthText(apiURL, tokenURL string) string {
	return fmt.Sprintf("base_url %s  token_url %s  client %s / %s", apiURL, tokenURL, DefaultClientID, DefaultClientSecret)
}
