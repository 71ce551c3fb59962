// Package crmcom writes business events to the CRM.COM Web API (V4, releases R10 and newer): seven
// kinds of event through customer_events/bulk, up to 1,000 events of one kind per call. A response
// has one result per item, identified by the request_unique_identifier that the item was sent with.
//
// The package follows the vendor's documentation page. encode_*.go has the members of each event by
// their names on the page, response.go and refusal.go interpret responses, and login.go has the two
// ways to log in. Where the page leaves a question open, the code avoids first losing an event and
// then recording it twice, and a comment explains the choice.
package crmcom

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"sluice/internal/config"
	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// maxItems is the maximum number of events that the vendor accepts in one call, for each kind of
// event.
const maxItems = 1000

// bulkMethod is one of the bulk methods on the vendor's page.
type bulkMethod struct {
	spec    sink.OperationSpec
	setName string // the call's member that holds the items
	encode  func(*encoder, any) bool
}

var bulkMethods = [...]bulkMethod{
	{
		newSpec("purchases", "Purchase", "purchases"),
		"purchase_customer_events_set", encodeAny(encodePurchase),
	},
	{
		newSpec("referrals", "Referral", "referrals"),
		"referral_customer_events_set", encodeAny(encodeReferral),
	},
	{
		newSpec("achievements", "Achievement", "activities"),
		"achievement_customer_events_set", encodeAny(encodeAchievement),
	},
	{
		newSpec("social_media", "SocialMediaAction", "activities"),
		"social_media_customer_events_set", encodeAny(encodeSocialMediaAction),
	},
	{
		newSpec("web", "WebVisit", "activities"),
		"web_customer_events_set", encodeAny(encodeWebVisit),
	},
	{
		newSpec("financial_achievements", "FinancialAchievement", "activities"),
		"financial_achievement_customer_events_set", encodeAny(encodeFinancialAchievement),
	},
	{
		newSpec("financial_statements", "FinancialStatement", "activities"),
		statementsSet, encodeAny(encodeFinancialStatement),
	},
}

// newSpec returns the spec of an operation. None is repeatable: the vendor records an event each
// time it is sent, even with the same reference number (items 31 and 32 of the page's example for
// purchases).
func newSpec(name, event, defaultPipeline string) sink.OperationSpec {
	return sink.OperationSpec{
		Name: name, Event: "sluice.crmcom." + event, MaxItems: maxItems,
		UnknownPolicy: sink.UnknownRetry, MaxResends: 2, DefaultPipeline: defaultPipeline,
	}
}

// Specs returns the specs of the operations that New returns, in the same order.
func Specs() []sink.OperationSpec {
	specs := make([]sink.OperationSpec, len(bulkMethods))
	for i, method := range bulkMethods {
		specs[i] = method.spec
	}
	return specs
}

// account is what the operations of one account share.
type account struct {
	settings
	baseURL    string // without a trailing slash
	client     *http.Client
	tokens     *vendorhttp.TokenSource
	codes      map[string]Meaning
	loginCodes []string // codes of a refused token besides those that loginWords matches
}

// operation is one bulk method of one account.
type operation struct {
	bulkMethod
	account *account
}

// Callers find sink.TokenRefresher by a type assertion. Without this line, the package would still
// compile if the method no longer implemented it.
var _ sink.TokenRefresher = (*operation)(nil)

// New returns the seven operations of one account, which share its token. The client must not
// follow redirects; vendorhttp.NewClient returns such clients. The error names every invalid
// setting.
func New(name string, cfg Config, client *http.Client) ([]sink.Operation, error) {
	a, err := newAccount(cfg, client)
	if err != nil {
		return nil, fmt.Errorf("configuring the CRM.COM account %s: %w", name, err)
	}
	operations := make([]sink.Operation, len(bulkMethods))
	for i, method := range bulkMethods {
		if method.setName == statementsSet {
			method.setName = cfg.FinancialStatementsSet
		}
		operations[i] = &operation{bulkMethod: method, account: a}
	}
	return operations, nil
}

func newAccount(cfg Config, client *http.Client) (*account, error) {
	if err := config.CheckSettings(cfg.Check); err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(cfg.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("time_zone: %w", err)
	}
	a := &account{
		settings:   settings{zone: zone, externalSystem: cfg.ExternalSystem},
		baseURL:    strings.TrimRight(cfg.BaseURL, "/"),
		client:     client,
		codes:      maps.Clone(defaultCodes),
		loginCodes: cfg.LoginCodes,
	}
	a.release, _ = parseRelease(cfg.Release) // valid, because Check has parsed it
	maps.Copy(a.codes, cfg.ErrorCodes)
	a.tokens = vendorhttp.NewTokenSource(a.newLogin(cfg.Auth, cfg.TokenTTL), tokenMargin)
	return a, nil
}

// Spec returns the operation's fixed properties.
func (o *operation) Spec() sink.OperationSpec { return o.spec }

// RefreshToken replaces the token whose version is used, for all operations of the account.
func (o *operation) RefreshToken(ctx context.Context, used uint64) error {
	return o.account.tokens.Refresh(ctx, used)
}
