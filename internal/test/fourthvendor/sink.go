package fourthvendor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sluice/internal/config"
	"sluice/internal/sink"
	"sluice/internal/sink/jsonwriter"
	"sluice/internal/sink/vendorhttp"
)

// Config is an account's section of the configuration file.
type Config struct {
	BaseURL           string        `yaml:"base_url" allow:"url" required:"true" doc:"URL of the API"`
	Auth              Auth          `yaml:"auth" doc:"OAuth2 client credentials, or token alone"`
	Timeout           time.Duration `yaml:"timeout" allow:"1s.." doc:"maximum duration of a call"`
	RequestsPerSecond float64       `yaml:"requests_per_second" allow:"0.." doc:"rate limit of the account; 0: none"`
}

// Auth has the credentials of the account.
type Auth struct {
	TokenURL     string        `yaml:"token_url" allow:"url" doc:"OAuth2 token endpoint"`
	ClientID     string        `yaml:"client_id"`
	ClientSecret config.Secret `yaml:"client_secret"`
	Token        config.Secret `yaml:"token" doc:"a configured token, instead of the other three"`
}

func (a Auth) newTokenSource(client *http.Client) *vendorhttp.TokenSource {
	if a.Token.IsSet() {
		return vendorhttp.StaticToken(a.Token.Reveal())
	}
	fetch := vendorhttp.ClientCredentials(
		client, a.TokenURL, a.ClientID, a.ClientSecret.Reveal(), "", vendorhttp.AuthInBody)
	return vendorhttp.NewTokenSource(fetch, tokenRefreshMargin)
}

// Default returns a Config with the defaults.
func Default() Config { return Config{Timeout: 30 * time.Second} }

// Check reports every invalid setting.
func (c Config) Check(report config.ReportFunc) {
	config.CheckTags(c, report)
	hasCredentials := c.Auth.TokenURL != "" && c.Auth.ClientID != "" && c.Auth.ClientSecret.IsSet()
	if hasCredentials == c.Auth.Token.IsSet() {
		report("auth", "must have token_url, client_id and client_secret, or token alone")
	}
}

// maxItems is the vendor's limit on the number of items in one call.
const maxItems = 50

// tokenRefreshMargin is how long before its expiry a token is refreshed.
const tokenRefreshMargin = time.Minute

// Specs returns the specs of the operations that New returns.
func Specs(Config) []sink.OperationSpec {
	spec := func(name, event string) sink.OperationSpec {
		return sink.OperationSpec{
			Name: name, Event: event, MaxItems: maxItems,
			UnknownPolicy: sink.UnknownRetry, MaxResends: 1, DefaultPipeline: "stamps",
		}
	}
	return []sink.OperationSpec{spec("stamps", stampEvent), spec("cancellations", cancellationEvent)}
}

// New returns the operations of an account, which share its token.
func New(name string, cfg Config, client *http.Client) ([]sink.Operation, error) {
	return newOperations(name, cfg, client, "")
}

func newOperations(name string, cfg Config, client *http.Client, mistake Mistake) ([]sink.Operation, error) {
	if err := config.CheckSettings(cfg.Check); err != nil {
		return nil, fmt.Errorf("configuring the Stampcard account %s: %w", name, err)
	}
	tokens := cfg.Auth.newTokenSource(client)
	var operations []sink.Operation
	for _, spec := range Specs(cfg) {
		operations = append(operations, &operation{cfg: cfg, spec: spec, client: client, tokens: tokens, mistake: mistake})
	}
	return operations, nil
}

type operation struct {
	cfg    Config
	spec   sink.OperationSpec
	client *http.Client
	tokens *vendorhttp.TokenSource
	// mistake is what the sink does wrong; empty except in known-wrong variants.
	mistake Mistake
}

// Spec implements [sink.Operation].
func (o *operation) Spec() sink.OperationSpec { return o.spec }

// Encode implements [sink.Operation]. Results identify items by stamp ID, so a call must not
// contain an ID twice.
func (o *operation) Encode(_ context.Context, ev any, _ sink.Origin) (sink.Item, error) {
	w := jsonwriter.New(256)
	w.BeginObject("")
	var id string
	switch e := ev.(type) {
	case *Stamp:
		id = e.StampId
		w.RequiredText("stamp_id", e.StampId)
		w.RequiredText("card_number", e.CardNumber)
		w.Decimal("amount", e.Amount)
		w.Time("stamped_at", e.StampedAt.UTC(), time.RFC3339Nano)
		w.OptionalText("note", e.Note)
	case *Cancellation:
		id = e.StampId
		w.RequiredText("stamp_id", e.StampId)
		w.Time("cancelled_at", e.CancelledAt.UTC(), time.RFC3339Nano)
		w.OptionalText("reason", e.Reason)
	default:
		return sink.Item{}, fmt.Errorf("encoding for %s: the event is a %T", o.spec.Name, ev)
	}
	w.EndObject()
	if err := w.Err(); err != nil {
		return sink.Item{}, err
	}
	return sink.Item{ID: id, EntityKey: id, Body: w.Bytes()}, nil
}

func (o *operation) envelope() (prefix, suffix []byte) {
	return []byte(`{"` + o.spec.Name + `":[`), []byte(`]}`)
}

// EnvelopeSize implements [sink.Operation].
func (o *operation) EnvelopeSize(string) int {
	prefix, suffix := o.envelope()
	return len(prefix) + len(suffix)
}

// Send implements [sink.Operation].
func (o *operation) Send(ctx context.Context, items []sink.Item) sink.Response {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeout)
	defer cancel()
	return o.tokens.CallWithToken(ctx, func(token string) sink.Response {
		endpoint := strings.TrimRight(o.cfg.BaseURL, "/") + "/" + o.spec.Name
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, http.NoBody)
		if err != nil {
			return sink.Response{Result: sink.Result{Class: sink.Misconfigured}, Err: errBaseURL}
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		prefix, suffix := o.envelope()
		req.Body, req.ContentLength, req.GetBody = vendorhttp.Body(prefix, items, suffix)
		return o.parseResponse(vendorhttp.RoundTrip(ctx, o.client, req, 0), items)
	})
}

var (
	errBaseURL    = errors.New("building the request: base_url cannot be used")
	errUnreadable = errors.New("reading the response: it has no results")
)

// RefreshToken implements [sink.TokenRefresher].
func (o *operation) RefreshToken(ctx context.Context, used uint64) error {
	return o.tokens.Refresh(ctx, used)
}

func (o *operation) parseResponse(exchange vendorhttp.Exchange, items []sink.Item) sink.Response {
	response := vendorhttp.ClassifyExchange(exchange)
	if response.Class == sink.Delivered {
		return o.parseResults(response, exchange.Body, items)
	}
	var body errorBody
	if json.Unmarshal(exchange.Body, &body) != nil {
		return response
	}
	response.Code, response.Message = body.Code, o.redactMessage(body.Message)
	if response.Class != sink.Rejected {
		return response
	}
	for _, index := range body.Items {
		if index >= 0 && index < len(items) {
			response.ItemErrors = append(response.ItemErrors, sink.ItemError{Index: index, Result: response.Result})
		}
	}
	return response
}

// codeTryLater is the code of an item that may be accepted later.
const codeTryLater = "try_later"

func (o *operation) parseResults(response sink.Response, body []byte, items []sink.Item) sink.Response {
	var parsed resultsBody
	if err := json.Unmarshal(body, &parsed); err != nil || parsed.Results == nil {
		response.Class, response.Err = sink.Unknown, errUnreadable
		return response
	}
	results := map[string][]resultBody{}
	for _, result := range parsed.Results {
		results[result.StampID] = append(results[result.StampID], result)
	}
	for _, item := range items {
		result := sink.Result{Class: sink.Unknown, Status: response.Status}
		found := results[item.ID]
		if len(found) == 1 || len(found) > 1 && o.mistake == TrustRepeatedResult {
			result.Class, result.Code = o.classOf(found[0]), found[0].Code
			result.Message = o.redactMessage(found[0].Message)
		}
		response.ItemResults = append(response.ItemResults, result)
	}
	return response
}

func (o *operation) classOf(result resultBody) sink.ResultClass {
	switch {
	case result.Accepted == nil && o.mistake != RejectMissingFlag:
		return sink.Unknown
	case result.Accepted != nil && *result.Accepted:
		return sink.Delivered
	case result.Code == codeTryLater:
		return sink.Retryable
	}
	return sink.Rejected
}

func (o *operation) redactMessage(text string) string {
	if o.mistake == KeepMessage {
		return text
	}
	return vendorhttp.Redact(text)
}

// The bodies of responses.
type (
	resultsBody struct {
		Results []resultBody `json:"results"`
	}
	resultBody struct {
		StampID  string `json:"stamp_id"`
		Accepted *bool  `json:"accepted,omitempty"`
		Code     string `json:"code,omitempty"`
		Message  string `json:"message,omitempty"`
	}
	errorBody struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Items   []int  `json:"items,omitempty"`
	}
)
