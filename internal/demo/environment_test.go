package demo

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"sluice/internal/demo/sample"
	"sluice/internal/demo/sandbox"
	"sluice/internal/pipeline"
	"sluice/internal/sink"
	"sluice/internal/test/fourthvendor"
)

func fakeURL(vendor sandbox.Vendor) string { return "http://" + string(vendor) + ".example" }

// A vendor that is registered is in the demo, without a change to the demo.
func TestRegisteredVendorIsInDemo(t *testing.T) {
	vendors := fourthvendor.RegisterVendor(pipeline.BuiltinVendors())
	samples := append(sample.BuiltinVendors(), fourthvendor.Samples())
	pages := append(sandbox.BuiltinPages(sandbox.Options{}), fourthvendor.Page())
	accounts, err := accountLines(vendors, samples, pages, fakeURL)
	if err != nil {
		t.Fatal(err)
	}
	if want := `  stampcard: {timeout: 5s, base_url: "http://stampcard.example/api", `; !strings.Contains(accounts, want) {
		t.Errorf("got accounts\n%s\nwant %s", accounts, want)
	}
	pipelines, err := pipelineLines(vendors)
	if err != nil {
		t.Fatal(err)
	}
	if want := "  stamps: {concurrency: 2, "; strings.Count(pipelines, want) != 1 {
		t.Errorf("got pipelines\n%s\nwant one with %s", pipelines, want)
	}
	mix := newPipelineMix([]string{purchases, "stamps"})
	if !slices.Contains(mix, "stamps") || !slices.Equal(mix[:len(scriptedMix)], scriptedMix) {
		t.Errorf("got mix %v, want stamps after those of the script", mix)
	}
}

func TestMissingPartsOfVendorAreErrors(t *testing.T) {
	vendors := fourthvendor.RegisterVendor(pipeline.BuiltinVendors())
	samples, pages := sample.BuiltinVendors(), sandbox.BuiltinPages(sandbox.Options{})
	_, err := accountLines(vendors, samples, pages, fakeURL)
	wantError(t, err, "vendor stampcard has no samples: add it to BuiltinVendors in internal/demo/sample/vendors.go")
	_, err = accountLines(vendors, append(samples, fourthvendor.Samples()), pages, fakeURL)
	wantError(t, err, "vendor stampcard has no page: add it to BuiltinPages in internal/demo/sandbox/vendors.go")

	withoutPipeline := func(cfg fourthvendor.Config) []sink.OperationSpec {
		specs := fourthvendor.Specs(cfg)
		specs[1].DefaultPipeline = ""
		return specs
	}
	open := func(string, fourthvendor.Config, *http.Client) ([]sink.Operation, error) { return nil, nil }
	vendors[fourthvendor.Name] = pipeline.NewVendor(
		fourthvendor.Default, withoutPipeline, open, fourthvendor.EventTypes()...)
	_, err = pipelineLines(vendors)
	wantError(t, err, "operation stampcard.cancellations has no pipeline in the demo: set its DefaultPipeline")
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got error %v, want one with %q", err, want)
	}
}
