// Package catalog has every text that the API says to people, in English and in
// Spanish side by side: what a field must be, by the code of its rule, and what
// a problem document says, by its kind. Everything else in Cobro speaks in
// codes, which never change; texts may.
//
// The Spanish is Puerto Rico's, and addresses the reader as tú.
package catalog

import (
	"fmt"

	"golang.org/x/text/language"

	"github.com/cobropay/cobro/payment"
)

// text is one text in each language.
type text struct{ en, es string }

// in returns the text in a language of [Match].
func (t text) in(tag language.Tag) string {
	if tag == language.Spanish {
		return t.es
	}
	return t.en
}

// matcher knows the catalog's languages. The first is for readers of neither.
var matcher = language.NewMatcher([]language.Tag{language.English, language.Spanish})

// Match returns the language of the catalog that suits an Accept-Language header
// best (RFC 9110 §12.5.4), without a region: en or es. A header that cannot be
// read counts as none.
func Match(acceptLanguage string) language.Tag {
	// The tag that comes first carries the reader's region; ours has none.
	if _, i := language.MatchStrings(matcher, acceptLanguage); i == 1 {
		return language.Spanish
	}
	return language.English
}

// Rule returns the text of a rule, which follows the name of its field. A rule
// without a text answers its code.
func Rule(tag language.Tag, r payment.Rule) string {
	t, known := rules[r.Code]
	if !known {
		return r.String()
	}
	return fmt.Sprintf(t.in(tag), r.Args...)
}

// English returns the English text of a rule, for logs and terminals.
func English(r payment.Rule) string { return Rule(language.English, r) }

// Problem returns what a problem document says. A kind without texts answers
// itself.
func Problem(tag language.Tag, kind string) (title, detail string) {
	p, known := problems[kind]
	if !known {
		return kind, kind
	}
	return p.title.in(tag), p.detail.in(tag)
}
