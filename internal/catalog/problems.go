package catalog

// problem is what a problem document says to people.
type problem struct{ title, detail text }

// problems has the texts of every problem, by the kind of refusal. That is its code,
// except that phone_number_declined is gateway_declined too.
var problems = map[string]problem{
	"body_malformed": {
		text{"The body cannot be read", "No se puede leer el cuerpo"},
		text{"Send one JSON object in UTF-8, with each member once and nothing after it.",
			"Envía un solo objeto JSON en UTF-8, con cada campo una vez y nada después."},
	},
	"parameter_invalid": {
		text{"A query parameter cannot be used", "Un parámetro no se puede usar"},
		text{"Correct the parameters listed in errors.", "Corrige los parámetros indicados en errors."},
	},
	"idempotency_key_malformed": {
		text{"The Idempotency-Key cannot be read", "No se puede leer la Idempotency-Key"},
		text{"Send one header with 1 to 255 printable ASCII characters, bare or in double quotes.",
			"Envía un solo encabezado de 1 a 255 caracteres ASCII imprimibles, con o sin comillas dobles."},
	},
	"idempotency_key_required": {
		text{"An Idempotency-Key is required", "Se requiere una Idempotency-Key"},
		text{"Send an Idempotency-Key header, so that a repeated request never refunds twice.",
			"Envía el encabezado Idempotency-Key, para que una solicitud repetida nunca reembolse dos veces."},
	},
	"unauthorized": {
		text{"An API key is required", "Se requiere una clave de API"},
		text{"Send a valid key as Authorization: Bearer KEY.", "Envía una clave válida como Authorization: Bearer CLAVE."},
	},
	"not_found": {
		text{"Not found", "No encontrado"},
		text{"No resource has this address.", "Ningún recurso tiene esta dirección."},
	},
	"payment_not_found": {
		text{"Payment not found", "Pago no encontrado"},
		text{"No payment has this id. One that was answered with 202 may take a moment to appear.",
			"Ningún pago tiene este id. Uno que recibió un 202 puede tardar un momento en aparecer."},
	},
	"refund_not_found": {
		text{"Refund not found", "Reembolso no encontrado"},
		text{"The payment has no refund with this id.", "El pago no tiene ningún reembolso con este id."},
	},
	"notification_not_found": {
		text{"Notification not found", "Notificación no encontrada"},
		text{"No notification has this id.", "Ninguna notificación tiene este id."},
	},
	"not_in_review": {
		text{"There is nothing to decide", "No hay nada que decidir"},
		text{"No review is open: the outcome is known, or was never in doubt.",
			"No hay ninguna revisión abierta: el resultado se conoce, o nunca estuvo en duda."},
	},
	"review_contradicted": {
		text{"ATH Móvil reports a different outcome", "ATH Móvil indica otro resultado"},
		text{"A new check contradicts the verdict; ATH Móvil's answer is in gateway_message. This request decided nothing.",
			"Una nueva consulta contradice el veredicto; la respuesta de ATH Móvil está en gateway_message. Esta solicitud no decidió nada."},
	},
	"method_not_allowed": {
		text{"The method is not allowed here", "Aquí no se permite ese método"},
		text{"Use one of the methods in the Allow header.", "Usa uno de los métodos del encabezado Allow."},
	},
	"payment_in_progress": {
		text{"The reference has an unfinished payment", "La referencia tiene un pago sin terminar"},
		text{"Wait until that payment ends, or cancel it, before you create another with the same reference.",
			"Espera a que ese pago termine, o cancélalo, antes de crear otro con la misma referencia."},
	},
	"payment_not_cancellable": {
		text{"The payment can no longer be canceled", "El pago ya no se puede cancelar"},
		text{"It has ended; its status is in payment_status.", "Ya terminó; su estado está en payment_status."},
	},
	"payment_not_completed": {
		text{"Only a completed payment can be refunded", "Solo se puede reembolsar un pago completado"},
		text{"The status of this one is in payment_status.", "El estado de este está en payment_status."},
	},
	"payment_ended": {
		text{"The payment has ended", "El pago terminó"},
		text{"It can no longer be changed; its status is in payment_status.",
			"Ya no se puede cambiar; su estado está en payment_status."},
	},
	"phone_number_declined": {
		text{"ATH Móvil did not accept the phone number", "ATH Móvil no aceptó el número de teléfono"},
		text{"Its answer is in gateway_code and gateway_message. The payment is unchanged.",
			"Su respuesta está en gateway_code y gateway_message. El pago sigue igual."},
	},
	"refund_in_progress": {
		text{"Another refund of the payment has not finished", "Otro reembolso del pago no ha terminado"},
		text{"Wait until it finishes, then try again with a new Idempotency-Key. This request refunded nothing.",
			"Espera a que termine e inténtalo de nuevo con otra Idempotency-Key. Esta solicitud no reembolsó nada."},
	},
	"refund_exceeds_balance": {
		text{"The refund exceeds what is left", "El reembolso es mayor que lo que queda"},
		text{"The most that can still be refunded is in left.", "Lo máximo que aún se puede reembolsar está en left."},
	},
	"body_too_large": {
		text{"The body is too large", "El cuerpo es demasiado grande"},
		text{"Send fewer bytes.", "Envía menos bytes."},
	},
	"headers_too_large": {
		text{"The headers are too large", "Los encabezados son demasiado grandes"},
		text{"Send at most 32768 bytes of address and headers together.", "Envía como máximo 32768 bytes entre la dirección y los encabezados."},
	},
	"unsupported_media_type": {
		text{"The body must be JSON", "El cuerpo debe ser JSON"},
		text{"Send it with Content-Type: application/json.", "Envíalo con Content-Type: application/json."},
	},
	"validation_failed": {
		text{"The request breaks a rule", "La solicitud no cumple una regla"},
		text{"Correct the fields listed in errors. Nothing was done.",
			"Corrige los campos indicados en errors. No se hizo nada."},
	},
	"idempotency_key_reused": {
		text{"The Idempotency-Key belongs to another request", "La Idempotency-Key es de otra solicitud"},
		text{"Use a new key for a new request, or repeat the first one unchanged.",
			"Usa una clave nueva para otra solicitud, o repite la primera sin cambios."},
	},
	"gateway_declined": {
		text{"ATH Móvil declined the payment", "ATH Móvil rechazó el pago"},
		text{"Its answer is in gateway_code and gateway_message. To try again, use a new Idempotency-Key.",
			"Su respuesta está en gateway_code y gateway_message. Para intentarlo de nuevo, usa otra Idempotency-Key."},
	},
	"rate_limited": {
		text{"Too many requests", "Demasiadas solicitudes"},
		text{"Wait for the number of seconds in the Retry-After header.",
			"Espera los segundos que indica el encabezado Retry-After."},
	},
	"gateway_unavailable": {
		text{"ATH Móvil cannot be reached", "No hay conexión con ATH Móvil"},
		text{"The payment failed and nobody was charged. To try again, use a new Idempotency-Key.",
			"El pago falló y no se le cobró a nadie. Para intentarlo de nuevo, usa otra Idempotency-Key."},
	},
	"temporarily_unavailable": {
		text{"Cobro cannot do this right now", "Cobro no puede hacer esto en este momento"},
		text{"Try again with the same Idempotency-Key: nothing is done twice.",
			"Inténtalo de nuevo con la misma Idempotency-Key: nada se hace dos veces."},
	},
	"internal": {
		text{"Something went wrong in Cobro", "Algo falló en Cobro"},
		text{"The cause is in Cobro's log under the request_id.", "La causa está en el registro de Cobro bajo el request_id."},
	},
}
