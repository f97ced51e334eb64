package athmovil_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
)

func TestLaneOfEachOp(t *testing.T) {
	t.Parallel()
	lanes := map[string][]athmovil.Op{}
	for _, op := range athmovil.Ops() {
		lanes[op.Lane()] = append(lanes[op.Lane()], op)
	}
	require.Equal(t, map[string][]athmovil.Op{
		"money": {athmovil.OpAuthorize, athmovil.OpRefund},
		"write": {athmovil.OpCreate, athmovil.OpUpdatePhoneNumber, athmovil.OpCancel, athmovil.OpSubscribeWebhook},
		"read":  {athmovil.OpFind, athmovil.OpTransactionReport, athmovil.OpSearch},
	}, lanes)
}
