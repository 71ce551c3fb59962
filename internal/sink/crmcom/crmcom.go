// Package crmcom writes business events to the CRM.COM Web API (V4, releases R10 and newer):
// customer_events/bulk, seven kinds of event, up to 1000 of one kind a call. A call is answered
// item by item, by the request_unique_identifier that the item went out with.
//
// The package reads as the vendor's page does: encode_*.go has an event's members in the page's
// words, answer.go what comes back, login.go the two ways to a token. What the page leaves open is
// decided in favour of not losing and not booking twice, and said where it is decided.
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

// maxItems is the most events that one call takes, of each kind.
const maxItems = 1000

// definition is one bulk method of the vendor's page.
type definition struct {
	spec   sink.OperationSpec
	set    string // the member of the call that holds the items
	encode func(*encoder, any) bool
}

var definitions = [...]definition{
	{spec("purchases", "Purchase", "purchases"), "purchase_customer_events_set", encodeAny(encodePurchase)},
	{spec("referrals", "Referral", "referrals"), "referral_customer_events_set", encodeAny(encodeReferral)},
	{spec("achievements", "Achievement", "activities"), "achievement_customer_events_set", encodeAny(encodeAchievement)},
	{spec("social_media", "SocialMediaAction", "activities"), "social_media_customer_events_set", encodeAny(encodeSocialMediaAction)},
	{spec("web", "WebVisit", "activities"), "web_customer_events_set", encodeAny(encodeWebVisit)},
	{spec("financial_achievements", "FinancialAchievement", "activities"), "financial_achievement_customer_events_set", encodeAny(encodeFinancialAchievement)},
	{spec("financial_statements", "FinancialStatement", "activities"), statementsSet, encodeAny(encodeFinancialStatement)},
}

// spec is what all seven share. They are not repeatable: the vendor books an event again each time
// it is sent, even with the same reference number (the page's example of purchases, items 31 and
// 32).
func spec(name, event, defaultPipeline string) sink.OperationSpec {
	return sink.OperationSpec{
		Name: name, Event: "sluice.crmcom." + event, MaxItems: maxItems,
		UnknownPolicy: sink.UnknownRetry, MaxResends: 2, DefaultPipeline: defaultPipeline,
	}
}

// Specs gives the operations that New makes, in its order.
func Specs() []sink.OperationSpec {
	specs := make([]sink.OperationSpec, len(definitions))
	for i, d := range definitions {
		specs[i] = d.spec
	}
	return specs
}

// account is what the operations of one account share.
type account struct {
	settings
	base   string // without a slash at its end
	client *http.Client
	tokens *vendorhttp.TokenSource
	codes  map[string]Meaning
	logins []string // codes of a refused login, beside those that are found by their words
}

// operation is one bulk method of one account.
type operation struct {
	definition
	account *account
}

// New makes the seven operations of one account, which share its token. client should follow no
// redirects and have no timeout of its own. The error names every fault of cfg.
func New(name string, cfg Config, client *http.Client) ([]sink.Operation, error) {
	a, err := newAccount(cfg, client)
	if err != nil {
		return nil, fmt.Errorf("configuring the CRM.COM account %s: %w", name, err)
	}
	ops := make([]sink.Operation, len(definitions))
	for i, d := range definitions {
		if d.set == statementsSet {
			d.set = cfg.FinancialStatementsSet
		}
		ops[i] = &operation{definition: d, account: a}
	}
	return ops, nil
}

func newAccount(cfg Config, client *http.Client) (*account, error) {
	if err := config.CheckSettings(cfg.Check); err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(cfg.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("time_zone: %w", err)
	}
	a := &account{base: strings.TrimRight(cfg.BaseURL, "/"), client: client, codes: maps.Clone(defaultCodes)}
	a.zone, a.externalSystem = zone, cfg.ExternalSystem
	a.release, _ = parseRelease(cfg.Release) // checked
	maps.Copy(a.codes, cfg.ErrorCodes)
	a.logins = cfg.LoginCodes
	a.tokens = vendorhttp.NewTokenSource(a.login(cfg.Auth, cfg.TokenTTL), tokenMargin)
	return a, nil
}

// Spec says what the operation is.
func (o *operation) Spec() sink.OperationSpec { return o.spec }

// RefreshToken gets the account a token other than the one named used. It serves all operations of
// the account.
func (o *operation) RefreshToken(ctx context.Context, used uint64) error {
	return o.account.tokens.Refresh(ctx, used)
}
