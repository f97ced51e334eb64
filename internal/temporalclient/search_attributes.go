package temporalclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc/codes"
)

// searchAttributesWait is how long [EnsureSearchAttributes] may take. A cluster
// refreshes its caches within seconds.
const searchAttributesWait = 30 * time.Second

// SearchAttributes returns the names and types of the search attributes that
// Cobro's workflows set. Temporal stores their values in clear: never put
// personal data there.
func SearchAttributes() map[string]enumspb.IndexedValueType {
	return map[string]enumspb.IndexedValueType{
		"PaymentStatus":       enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"PaymentTotalCents":   enumspb.INDEXED_VALUE_TYPE_INT,
		"MerchantReference":   enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"AthmEcommerceId":     enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"AthmReferenceNumber": enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"NeedsReview":         enumspb.INDEXED_VALUE_TYPE_BOOL,
	}
}

// EnsureSearchAttributes adds those of [SearchAttributes] that the namespace
// lacks, and returns once the server lists all of them. A workflow that upserts a
// missing one blocks forever, so a program that gets an error here must not
// start. The error says which commands fix it. Several programs may call it at
// the same time.
func EnsureSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, searchAttributesWait)
	defer cancel()
	operator := c.OperatorService()
	want := SearchAttributes()
	var missing map[string]enumspb.IndexedValueType
	var added error
	for {
		listed, err := operator.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
		if forbidden(err) {
			return fmt.Errorf("we may not list the search attributes of namespace %q: %w; let this API key or certificate do so, and see that they are there:\n%s",
				namespace, err, commands(namespace, want))
		}
		if err != nil && len(missing) > 0 && ctx.Err() != nil {
			return fmt.Errorf("namespace %q still lacks search attributes: %w; run:\n%s", namespace, cmp.Or(added, ctx.Err()), commands(namespace, missing))
		}
		if err != nil {
			return fmt.Errorf("list the search attributes of namespace %q: %w", namespace, err)
		}
		missing, err = lacking(listed.GetCustomAttributes(), want)
		if err != nil {
			return fmt.Errorf("namespace %q: %w", namespace, err)
		}
		if len(missing) == 0 {
			return nil
		}
		_, added = operator.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
		if forbidden(added) {
			return fmt.Errorf("we may not add search attributes to namespace %q: %w; run this as somebody who may:\n%s",
				namespace, added, commands(namespace, missing))
		}
		// Another program may have added them at the same time, which is an error
		// too. The next list shows whether they are there.
		pause(ctx)
	}
}

// CheckSearchAttributes returns nil if the namespace has all of
// [SearchAttributes], or an error that says which commands fix it. It changes
// nothing.
func CheckSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	listed, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("list the search attributes of namespace %q: %w", namespace, err)
	}
	missing, err := lacking(listed.GetCustomAttributes(), SearchAttributes())
	if err != nil {
		return fmt.Errorf("namespace %q: %w", namespace, err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("namespace %q lacks search attributes; run:\n%s", namespace, commands(namespace, missing))
	}
	return nil
}

// SearchAttributesSeen returns a readiness check. It calls
// [CheckSearchAttributes] until that succeeds once, and then returns nil without
// asking the server.
func SearchAttributesSeen(c client.Client, namespace string) func(context.Context) error {
	var seen atomic.Bool
	return func(ctx context.Context) error {
		if seen.Load() {
			return nil
		}
		err := CheckSearchAttributes(ctx, c, namespace)
		seen.Store(err == nil)
		return err
	}
}

// lacking returns what is missing in have, and an error for each attribute that
// has another type.
func lacking(have, want map[string]enumspb.IndexedValueType) (map[string]enumspb.IndexedValueType, error) {
	missing := make(map[string]enumspb.IndexedValueType)
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(want)) {
		got, ok := have[name]
		switch {
		case !ok:
			missing[name] = want[name]
		case got != want[name]:
			wrong = append(wrong, fmt.Errorf("search attribute %s is of type %s and has to be %s: remove it, or use another namespace", name, got, want[name]))
		}
	}
	return missing, errors.Join(wrong...)
}

// commands returns the commands that add what is missing, for a self-hosted
// cluster and for Temporal Cloud.
func commands(namespace string, missing map[string]enumspb.IndexedValueType) string {
	names := slices.Sorted(maps.Keys(missing))
	lines := make([]string, 0, len(names)+2)
	for _, name := range names {
		lines = append(lines, fmt.Sprintf("  temporal operator search-attribute create --namespace %s --name %s --type %s", namespace, name, missing[name]))
	}
	lines = append(lines, "or, on Temporal Cloud, add them on the namespace's page, or run:")
	cloud := "  tcld namespace search-attributes add --namespace " + namespace
	for _, name := range names {
		cloud += fmt.Sprintf(" --search-attribute %s=%s", name, missing[name])
	}
	return strings.Join(append(lines, cloud), "\n")
}

// forbidden reports whether the server refuses to let this client add
// attributes, as Temporal Cloud does.
func forbidden(err error) bool {
	return code(err) == codes.Unimplemented || refused(err)
}
