package decode

import (
	"reflect"
	"slices"
	"testing"
	"time"

	hamba "github.com/hamba/avro/v2"
	"github.com/twmb/avro"
	"pgregory.net/rapid"

	"sluice/internal/event"
	"sluice/schemas"
)

// everything has a field of each type that a schema may use.
type everything struct {
	Text     string           `avro:"text"`
	UUID     string           `avro:"uuid"`
	Color    string           `avro:"color"`
	Small    int32            `avro:"small"`
	Large    int64            `avro:"large"`
	Flag     bool             `avro:"flag"`
	Ratio    float64          `avro:"ratio"`
	Blob     []byte           `avro:"blob"`
	Amount   event.Decimal    `avro:"amount"`
	At       time.Time        `avro:"at"`
	Day      time.Time        `avro:"day"`
	List     []string         `avro:"list"`
	Amounts  []event.Decimal  `avro:"amounts"`
	Table    map[string]int64 `avro:"table"`
	Part     part             `avro:"part"`
	Parts    []part           `avro:"parts"`
	NText    *string          `avro:"n_text"`
	NAmount  *event.Decimal   `avro:"n_amount"`
	NAt      *time.Time       `avro:"n_at"`
	NDay     *time.Time       `avro:"n_day"`
	NPart    *part            `avro:"n_part"`
	NList    []string         `avro:"n_list"`
	NFlag    *bool            `avro:"n_flag"`
	NLarge   *int64           `avro:"n_large"`
	NBlob    *[]byte          `avro:"n_blob"`
	NColor   *string          `avro:"n_color"`
	Defaults string           `avro:"defaults"`
}

type part struct {
	Name   string         `avro:"name"`
	Amount *event.Decimal `avro:"amount"`
}

const decimalType = `{"type":"bytes","logicalType":"decimal","precision":38,"scale":6}`

const everythingSchema = `{"type":"record","name":"Everything","namespace":"sluice.test","aliases":["Anything"],"fields":[
	{"name":"text","type":"string"},
	{"name":"uuid","type":{"type":"string","logicalType":"uuid"}},
	{"name":"color","type":{"type":"enum","name":"Color","symbols":["RED","GREEN"]}},
	{"name":"small","type":"int"},
	{"name":"large","type":"long","aliases":["big"]},
	{"name":"flag","type":"boolean"},
	{"name":"ratio","type":"double"},
	{"name":"blob","type":"bytes"},
	{"name":"amount","type":` + decimalType + `},
	{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
	{"name":"day","type":{"type":"int","logicalType":"date"}},
	{"name":"list","type":{"type":"array","items":"string"}},
	{"name":"amounts","type":{"type":"array","items":` + decimalType + `}},
	{"name":"table","type":{"type":"map","values":"long"}},
	{"name":"part","type":{"type":"record","name":"Part","fields":[
		{"name":"name","type":"string"},
		{"name":"amount","type":["null",` + decimalType + `],"default":null}]}},
	{"name":"parts","type":{"type":"array","items":"Part"}},
	{"name":"n_text","type":["null","string"],"default":null},
	{"name":"n_amount","type":["null",` + decimalType + `],"default":null},
	{"name":"n_at","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"default":null},
	{"name":"n_day","type":["null",{"type":"int","logicalType":"date"}],"default":null},
	{"name":"n_part","type":["null","Part"],"default":null},
	{"name":"n_list","type":["null",{"type":"array","items":"string"}],"default":null},
	{"name":"n_flag","type":["null","boolean"],"default":null},
	{"name":"n_large","type":["null","long"],"default":null},
	{"name":"n_blob","type":["null","bytes"],"default":null},
	{"name":"n_color","type":["null","Color"],"default":null},
	{"name":"defaults","type":"string","default":"as given"}
]}`

// everythingReaders returns the reader of the test schema alone.
func everythingReaders(t testing.TB) *readers {
	t.Helper()
	r := newReaders()
	if err := r.addSchema(everythingSchema, func() any { return new(everything) }); err != nil {
		t.Fatal(err)
	}
	return r
}

// fillValue draws a value for every field of the schema.
func fillValue(t *rapid.T, n *avro.SchemaNode, v reflect.Value) {
	switch n.Type {
	case "union":
		fillNullable(t, n, v)
	case "record":
		for i := range n.Fields {
			fillValue(t, &n.Fields[i].Type, fieldByAvroName(v, n.Fields[i].Name))
		}
	case "array":
		v.Set(reflect.MakeSlice(v.Type(), rapid.IntRange(0, 3).Draw(t, "length"), 3))
		for i := range v.Len() {
			fillValue(t, n.Items, v.Index(i))
		}
	case "map":
		v.Set(reflect.MakeMap(v.Type()))
		for _, key := range rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "keys") {
			value := reflect.New(v.Type().Elem()).Elem()
			fillValue(t, n.Values, value)
			v.SetMapIndex(reflect.ValueOf(key), value)
		}
	default:
		v.Set(reflect.ValueOf(drawScalar(t, n)).Convert(v.Type()))
	}
}

func fieldByAvroName(v reflect.Value, avroName string) reflect.Value {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("avro") == avroName {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

func fillNullable(t *rapid.T, n *avro.SchemaNode, v reflect.Value) {
	if rapid.Bool().Draw(t, "null") {
		return
	}
	i := slices.IndexFunc(n.Branches, func(b avro.SchemaNode) bool { return b.Type != "null" })
	if v.Kind() != reflect.Pointer {
		fillValue(t, &n.Branches[i], v)
		return
	}
	v.Set(reflect.New(v.Type().Elem()))
	fillValue(t, &n.Branches[i], v.Elem())
}

func drawScalar(t *rapid.T, n *avro.SchemaNode) any {
	switch n.Type + "." + n.LogicalType {
	case "string.":
		return rapid.String().Draw(t, "string")
	case "string.uuid":
		return "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	case "enum.":
		return rapid.SampledFrom(n.Symbols).Draw(t, "symbol")
	case "int.":
		return rapid.Int32().Draw(t, "int")
	case "int.date":
		return time.Unix(86400*rapid.Int64Range(-100_000, 100_000).Draw(t, "day"), 0).UTC()
	case "long.":
		return rapid.Int64().Draw(t, "long")
	case "long.timestamp-millis":
		return time.UnixMilli(rapid.Int64Range(-1e13, 1e13).Draw(t, "millis")).UTC()
	case "boolean.":
		return rapid.Bool().Draw(t, "flag")
	case "float.":
		return rapid.Float32().Draw(t, "float")
	case "double.":
		return rapid.Float64().Draw(t, "double")
	case "bytes.":
		return rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
	case "bytes.decimal":
		d, err := event.ParseDecimal(rapid.StringMatching(`-?[0-9]{1,32}(\.[0-9]{1,6})?`).Draw(t, "decimal"))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	t.Fatalf("no value for type %s %s", n.Type, n.LogicalType)
	return nil
}

// mustParseSchema parses a schema as codecs do, and also returns its expanded tree.
func mustParseSchema(t testing.TB, text string) (*avro.Schema, *avro.SchemaNode) {
	t.Helper()
	s, err := avro.Parse(text, rawDecimals)
	if err != nil {
		t.Fatal(err)
	}
	return s, s.Root().ExpandReferences()
}

// eventTypes returns constructors of all events and of everything, by schema.
func eventTypes(t *testing.T) map[string]func() any {
	types := map[string]func() any{everythingSchema: func() any { return new(everything) }}
	for _, s := range schemas.All() {
		types[s.JSON] = func() any { e, _ := event.NewEvent(s.Name); return e }
	}
	if want := len(event.EventNames()) + 1; len(types) != want || want == 1 {
		t.Fatalf("got %d types, want all events and everything: %d", len(types), want)
	}
	return types
}

// The two implementations check each other.
func TestEachAvroLibraryDecodesWhatTheOtherEncodes(t *testing.T) {
	for text, fresh := range eventTypes(t) {
		ours, node := mustParseSchema(t, text)
		theirs, err := hamba.ParseWithCache(text, "", &hamba.SchemaCache{})
		if err != nil {
			t.Fatal(err)
		}
		t.Run(node.Name, rapid.MakeCheck(func(t *rapid.T) {
			want := fresh()
			fillValue(t, node, reflect.ValueOf(want).Elem())
			wire, err := hamba.Marshal(theirs, want)
			if err != nil {
				t.Fatal(err)
			}
			c := &codec{schema: ours, newEvent: fresh}
			got, err := c.decodeBody(1, wire)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Event, want) {
				t.Fatalf("twmb decoded %+v, want %+v as hamba encoded it", got.Event, want)
			}
			back, err := ours.Encode(want)
			if err != nil {
				t.Fatal(err)
			}
			other := fresh()
			if err := hamba.Unmarshal(theirs, back, other); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(other, want) {
				t.Fatalf("hamba decoded %+v, want %+v as twmb encoded it", other, want)
			}
		}))
	}
}
