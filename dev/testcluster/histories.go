package testcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// Export writes the history of every workflow, decrypted, as one JSON file
// each.
func (s *System) Export(ctx context.Context, folder string) error {
	e, err := s.examine(ctx)
	if err != nil {
		return err
	}
	defer e.close()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	return e.eachWorkflow(ctx, func(id, kind string, _ enumspb.WorkflowExecutionStatus, _ int64) error {
		return e.write(ctx, id, filepath.Join(folder, kind+"."+strings.ReplaceAll(id, "/", "-")+".json"))
	})
}

// ExportPayment writes the histories of a payment, of its refunds and of the
// late events that were matched with it. Each file is named by the prefix, the
// workflow's type and a number. A file that exists is never overwritten.
func (s *System) ExportPayment(ctx context.Context, paymentID, prefix string) error {
	e, err := s.examine(ctx)
	if err != nil {
		return err
	}
	defer e.close()
	refunds, err := e.store.Refunds(ctx, paymentID)
	if err != nil {
		return err
	}
	events, _, err := e.store.GatewayEvents(ctx, ledger.GatewayEventFilter{PaymentID: paymentID, Limit: 100})
	if err != nil {
		return err
	}
	ids := map[string][]string{workflows.ProcessPaymentName: {workflows.PaymentWorkflowID(paymentID)}}
	for _, r := range refunds {
		if r.Source == payment.SourceAPI {
			ids[workflows.RefundPaymentName] = append(ids[workflows.RefundPaymentName], workflows.RefundWorkflowID(r.ID))
		}
	}
	for _, event := range events {
		if id := workflows.LateEventWorkflowID(event.Digest); e.exists(ctx, id) {
			ids[workflows.ApplyLateEventName] = append(ids[workflows.ApplyLateEventName], id)
		}
	}
	for kind, all := range ids {
		for i, id := range all {
			file := fmt.Sprintf("%s.%s.%d.json", prefix, kind, i+1)
			if _, err := os.Stat(file); err == nil {
				continue
			}
			if err := e.write(ctx, id, file); err != nil {
				return err
			}
		}
	}
	return nil
}

// ExportWorkflow writes one history. A file that exists is never overwritten.
func (s *System) ExportWorkflow(ctx context.Context, id, file string) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	e, err := s.examine(ctx)
	if err != nil {
		return err
	}
	defer e.close()
	return e.write(ctx, id, file)
}

func (e *examiner) exists(ctx context.Context, id string) bool {
	_, err := e.temporal.DescribeWorkflowExecution(ctx, id, "")
	return err == nil
}

func (e *examiner) write(ctx context.Context, id, file string) error {
	h, err := e.history(ctx, id)
	if err != nil {
		return fmt.Errorf("history of %s: %w", id, err)
	}
	data, err := protojson.MarshalOptions{Indent: " "}.Marshal(h)
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// history reads a workflow's history and decrypts its payloads.
func (e *examiner) history(ctx context.Context, id string) (*history.History, error) {
	h := &history.History{}
	for events := e.temporal.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		event, err := events.Next()
		if err != nil {
			return nil, err
		}
		h.Events = append(h.Events, event)
	}
	ring, err := seal.Load(e.system.Addresses().KeyFile)
	if err != nil {
		return nil, err
	}
	codec := temporalclient.Codec(ring)
	err = proxy.VisitPayloads(ctx, h, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true, // they are never encrypted
		Visitor: func(_ *proxy.VisitPayloadsContext, payloads []*common.Payload) ([]*common.Payload, error) {
			return codec.Decode(payloads)
		},
	})
	return h, errors.Join(err)
}
