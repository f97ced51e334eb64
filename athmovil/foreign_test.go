package athmovil_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
)

// foreignWebhook is a vector of testdata/foreign.
type foreignWebhook struct {
	Name       string             `json:"name"`
	Body       string             `json:"body"`
	Base64     []byte             `json:"base64"` // where the body is not UTF-8
	Kind       athmovil.EventKind `json:"kind"`
	SameAs     string             `json:"same_as"`
	Lacks      string             `json:"lacks"`
	Unreadable []string           `json:"unreadable"`
	Reads      map[string]string  `json:"reads"`
}

func (f foreignWebhook) body() []byte {
	if f.Base64 != nil {
		return f.Base64
	}
	return []byte(f.Body)
}

func foreignWebhooks(t testing.TB) map[string]foreignWebhook {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "foreign", "webhooks.json"))
	require.NoError(t, err)
	var all []foreignWebhook
	require.NoError(t, json.Unmarshal(content, &all))
	named := map[string]foreignWebhook{}
	for _, one := range all {
		require.NotContains(t, named, one.Name)
		named[one.Name] = one
	}
	return named
}

func TestForeignWebhooks(t *testing.T) {
	t.Parallel()
	all := foreignWebhooks(t)
	for name, tt := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := athmovil.ParseWebhook(tt.body())
			require.Equal(t, tt.Kind, got.Kind)
			switch {
			case tt.Kind == "":
				require.ErrorIs(t, err, athmovil.ErrNotObject)
				return
			case tt.Lacks != "":
				require.ErrorContains(t, err, tt.Lacks)
			default:
				require.NoError(t, err)
			}
			require.Equal(t, tt.Unreadable, got.Unreadable)
			for field, want := range tt.Reads {
				value := reflect.Indirect(reflect.ValueOf(got).FieldByName(field))
				if value.Kind() == reflect.String {
					require.Equal(t, want, value.String(), field) // a private text prints nothing else
				} else {
					require.Equal(t, want, fmt.Sprint(value), field)
				}
			}
			if tt.SameAs != "" {
				require.Contains(t, all, tt.SameAs)
				same, _ := athmovil.ParseWebhook(all[tt.SameAs].body())
				require.Equal(t, same.Digest(), got.Digest(), "the same event")
			}
		})
	}
}

// Every form of a value in every field of every webhook: it is read, or listed as
// unreadable, or counts as absent, and none is lost without a word.
func TestEveryFormOfEveryField(t *testing.T) {
	t.Parallel()
	absent := []string{`null`, `""`, `" "`, `"\u00a0\n"`}
	forms := []string{
		`1`, `"1"`, `1.0`, `1E0`, `-1`, `1.5`, `1e400`, `"x"`, `"\u0000"`, `"\ud800"`, `true`, `"true"`, `[1]`, `["x"]`, `{"a":1}`, `"2025-05-01"`,
		`"2025-05-01 11:02:21"`, `1746111741000`, `99999999999999999999`,
	}
	files, err := filepath.Glob(filepath.Join("testdata", "wire", "webhook.*.json"))
	require.NoError(t, err)
	for _, file := range files {
		body, err := os.ReadFile(file)
		require.NoError(t, err)
		var fields map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(body, &fields))
		for name := range fields {
			changed := maps.Clone(fields)
			delete(changed, name)
			without := digestOf(t, changed)
			for _, form := range absent {
				changed[name] = json.RawMessage(form)
				require.Equal(t, without, digestOf(t, changed), "%s: %s: %s is absent", file, name, form)
			}
			for _, form := range forms {
				changed[name] = json.RawMessage(form)
				require.NotEqual(t, without, digestOf(t, changed), "%s: %s: %s is lost", file, name, form)
			}
			for _, form := range []string{`[1]`, `{"a":1}`} { // no field is one, but items
				changed[name] = json.RawMessage(form)
				whole, err := json.Marshal(changed)
				require.NoError(t, err)
				event, _ := athmovil.ParseWebhook(whole) // one that is required is an error as well
				unreadable := slices.ContainsFunc(event.Unreadable, func(one string) bool {
					return one == name || one == aliases()[name] || one == name+"[0]"
				})
				require.True(t, unreadable, "%s: %s: %s is not listed in %s", file, name, form, event.Unreadable)
			}
		}
	}
}

// aliases are the second spellings of keys.
func aliases() map[string]string {
	return map[string]string{"dailyTransactionID": "dailyTransactionId", "subtotal": "subTotal"}
}

// The same of a row of a report, which also joins the books: a value that cannot be
// read is never a zero.
func TestEveryFormInAReport(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join("testdata", "wire", "report.response.json"))
	require.NoError(t, err)
	var rows []map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(content, &rows))
	for name := range rows[0] {
		for _, form := range []string{`[1]`, `{"a":1}`} {
			changed := maps.Clone(rows[0])
			changed[name] = json.RawMessage(form)
			body, err := json.Marshal([]map[string]json.RawMessage{changed})
			require.NoError(t, err)
			report, err := athmovil.ParseReport(body)
			require.NoError(t, err)
			if len(report.Rows) == 1 {
				require.NotEmpty(t, report.Rows[0].Unreadable, "%s: %s", name, form)
			} else {
				require.Len(t, report.Quarantined, 1, "%s: %s", name, form)
			}
		}
	}
	for _, form := range []string{`7.875551234E9`, `"7.875551234E9"`, `17875551234`, `"(787) 555-1234"`} {
		changed := maps.Clone(rows[0])
		changed["phoneNumber"], changed["dailyTransactionID"] = json.RawMessage(form), json.RawMessage(`3.5E1`)
		body, err := json.Marshal([]map[string]json.RawMessage{changed})
		require.NoError(t, err)
		report, err := athmovil.ParseReport(body)
		require.NoError(t, err)
		require.Equal(t, "7875551234", string(report.Rows[0].PhoneNumber), form)
		require.Equal(t, "35", report.Rows[0].DailyTransactionID)
	}
}
