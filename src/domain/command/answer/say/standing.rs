//! How somebody stands: queues, pauses, what they do.

use super::{because, customer};
use crate::domain::{
    command::answer::{PauseLine, Status, Work},
    id::Extension,
    queue::{roster::PauseKind, view::WorkView},
    words::{Language, clock, said},
};

/// Where a pause holds.
pub(super) fn place(queue: Option<&str>, language: Language) -> String {
    match queue {
        Some(queue) => said!(language, "in {queue}", "en {queue}", "em {queue}"),
        None => said!(language, "everywhere", "en todas las colas", "em todas as filas"),
    }
}

pub(super) fn resumed(
    extension: &Extension,
    queue: Option<&str>,
    ended: u64,
    left: &[PauseLine],
    language: Language,
) -> String {
    let done = language.pick(match ended {
        0 => ["had no pause to end", "no tenía pausa que terminar", "não tinha pausa a terminar"],
        1.. => ["is resumed", "ya no está en pausa", "não está mais em pausa"],
    });
    let place = queue.map_or_else(String::new, |queue| format!(" {}", place(Some(queue), language)));
    let mut text = said!(
        language,
        "Extension {extension} {done}{place}.",
        "La extensión {extension} {done}{place}.",
        "O ramal {extension} {done}{place}.",
    );
    for pause in left {
        let pause = paused(pause, language);
        text += &said!(language, "\nIt stays {pause}.", "\nSigue {pause}.", "\nContinua {pause}.");
    }
    text
}

fn paused(PauseLine { kind, queue, reason, since }: &PauseLine, language: Language) -> String {
    let kind = language.pick(match kind {
        PauseKind::Manual => ["", "", ""],
        PauseKind::Auto => [" after unanswered calls", " por llamadas no contestadas", " por ligações não atendidas"],
        PauseKind::Presence => [" by presence", " por su presencia", " pela sua presença"],
    });
    said!(
        language,
        "paused{kind} {place} for {since}{why}",
        "en pausa{kind} {place} desde hace {since}{why}",
        "em pausa{kind} {place} há {since}{why}",
        place = place(queue.as_deref(), language),
        since = clock(*since),
        why = because(reason),
    )
}

pub(super) fn status(Status { extension, on, off, pauses, work }: &Status, language: Language) -> String {
    let mut text = match on.as_slice() {
        [] => said!(
            language,
            "Extension {extension} is logged on to no queue",
            "La extensión {extension} no tiene sesión abierta en ninguna cola",
            "O ramal {extension} não está em nenhuma fila",
        ),
        [..] => said!(
            language,
            "Extension {extension} is logged on to {on}",
            "La extensión {extension} tiene la sesión abierta en {on}",
            "O ramal {extension} está em {on}",
            on = on.join(", "),
        ),
    };
    if !off.is_empty() {
        let off = off.join(", ");
        text += &said!(language, ", and logged off from {off}", ", y cerrada en {off}", ", e fora de {off}");
    }
    text.push('.');
    for pause in pauses {
        let pause = paused(pause, language);
        text += &said!(language, "\nIt is {pause}.", "\nEstá {pause}.", "\nEstá {pause}.");
    }
    text.push('\n');
    text += &match work {
        Some(work) => self::work(work, language),
        None => said!(
            language,
            "What it does now cannot be said: the floor does not answer.",
            "No se puede decir qué hace ahora: la central no responde.",
            "Não é possível dizer o que faz agora: a central não responde.",
        ),
    };
    text
}

fn work(Work { view, queue }: &Work, language: Language) -> String {
    let of = |code: &str, name: &str| {
        let customer = customer(code, name);
        said!(language, "{customer} of {queue}", "{customer}, cola {queue}", "{customer}, fila {queue}")
    };
    match view {
        WorkView::Free => {
            said!(language, "The phone is free.", "El teléfono está libre.", "O telefone está livre.")
        }
        WorkView::Offered(call) => said!(
            language,
            "The phone rings: {call}.",
            "El teléfono suena: {call}.",
            "O telefone toca: {call}.",
            call = of(&call.code, &call.name),
        ),
        WorkView::Talking(call) => said!(
            language,
            "In a call with {call}.",
            "En una llamada con {call}.",
            "Em ligação com {call}.",
            call = of(&call.code, &call.name),
        ),
        WorkView::WrapUp(left) => said!(
            language,
            "In wrap-up for {left} more.",
            "Terminando la llamada anterior: quedan {left}.",
            "Concluindo a ligação anterior: faltam {left}.",
            left = clock(*left),
        ),
        WorkView::PhoneInUse => {
            said!(language, "The phone is in use.", "El teléfono está en uso.", "O telefone está em uso.")
        }
        WorkView::PhoneUnavailable => said!(
            language,
            "The phone cannot be reached.",
            "No se puede llegar al teléfono.",
            "Não é possível chegar ao telefone.",
        ),
    }
}
