//! Answers in Spanish.

use crate::domain::{
    command::{
        Refusal, Verb,
        answer::{
            Answer, CallLine, PauseLine, QueueLine, Status, Story, StoryStep, Trouble, all_verbs, because, clock,
            customer, hour, verdict,
        },
    },
    queue::{roster::PauseKind, view::WorkView},
    report::Outcome,
    words::Language,
};

const HELP: &str = "\
entrar [cola]: recibir llamadas, de todas sus colas si no nombra ninguna
salir [cola]: no recibir más
pausa [motivo] [cola]: ninguna por ahora, por ejemplo \"pausa almuerzo\"
reanudar [cola]: otra vez
estado: cómo está usted
espera [cola]: quién espera
llamadas: sus llamadas de hoy
por qué [llamada]: quién pudo recibir su última llamada, y qué decidió
idioma en, es o pt: el idioma de las respuestas
Un supervisor pone la extensión después de la palabra: pausa 1000 almuerzo";

pub(super) fn say(answer: &Answer) -> String {
    match answer {
        Answer::ShortHelp => {
            format!("Conozco estas palabras: {}. \"ayuda\" dice más.", all_verbs(Language::Spanish))
        }
        Answer::Help => HELP.into(),
        Answer::Languages => "Hablo inglés (en), español (es) y portugués (pt): por ejemplo, \"idioma en\".".into(),
        Answer::LanguageIs => "Desde ahora respondo en español.".into(),
        Answer::LoggedOn { extension, queues } => {
            format!("La extensión {extension} tiene la sesión abierta en {}.", queues.join(", "))
        }
        Answer::LoggedOff { extension, queues } if queues.is_empty() => {
            format!("La extensión {extension} no tenía sesión abierta en ninguna cola.")
        }
        Answer::LoggedOff { extension, queues } => {
            format!("La extensión {extension} tiene la sesión cerrada en {}.", queues.join(", "))
        }
        Answer::Paused { extension, queue, reason } => {
            format!("La extensión {extension} está en pausa {}{}.", place(queue.as_deref()), because(reason))
        }
        Answer::Resumed { extension, queue, ended, left } => {
            let done = if *ended == 0 { "no tenía pausa que terminar" } else { "ya no está en pausa" };
            let place = queue.as_ref().map_or(String::new(), |queue| format!(" en {queue}"));
            let mut text = format!("La extensión {extension} {done}{place}.");
            for pause in left {
                text += &format!("\nSigue {}.", paused(pause));
            }
            text
        }
        Answer::Status(status) => self::status(status),
        Answer::Waiting(lines) if lines.is_empty() => "Usted no es miembro de ninguna cola.".into(),
        Answer::Waiting(lines) => lines.iter().map(line).collect::<Vec<_>>().join("\n"),
        Answer::Calls { extension, calls, .. } if calls.is_empty() => {
            format!("La extensión {extension} no ha contestado ninguna llamada hoy.")
        }
        Answer::Calls { extension, calls, more } => {
            let mut text = format!("Llamadas de la extensión {extension} hoy: {}.", calls.len() + more);
            if *more > 0 {
                text += &format!(" Las últimas {}:", calls.len());
            }
            calls.iter().for_each(|call| text += &format!("\n{}", self::call(call)));
            text
        }
        Answer::Story(story) => self::story(story),
        Answer::NoStory => "No hay tal llamada suya.".into(),
        Answer::Refused(refusal) => refused(refusal),
        Answer::Trouble(trouble) => self::trouble(*trouble),
        Answer::AlreadyDone => {
            "Lo que corrige ya se hizo, y la corrección no lo deshace. Envíe lo que quiere ahora como un mensaje nuevo."
                .into()
        }
        Answer::Several(_) => String::new(),
    }
}

fn place(queue: Option<&str>) -> String {
    queue.map_or_else(|| "en todas las colas".into(), |queue| format!("en {queue}"))
}

fn paused(PauseLine { kind, queue, reason, since }: &PauseLine) -> String {
    let kind = match kind {
        PauseKind::Manual => "",
        PauseKind::Auto => " por llamadas no contestadas",
        PauseKind::Presence => " por su presencia",
    };
    format!("en pausa{kind} {} desde hace {}{}", place(queue.as_deref()), clock(*since), because(reason))
}

fn status(Status { extension, on, off, pauses, work }: &Status) -> String {
    let mut text = match on.as_slice() {
        [] => format!("La extensión {extension} no tiene sesión abierta en ninguna cola"),
        [..] => format!("La extensión {extension} tiene la sesión abierta en {}", on.join(", ")),
    };
    if !off.is_empty() {
        text += &format!(", y cerrada en {}", off.join(", "));
    }
    text.push('.');
    pauses.iter().for_each(|pause| text += &format!("\nEstá {}.", paused(pause)));
    let Some(work) = work else { return text + "\nNo se puede decir qué hace ahora: la central no responde." };
    let of = |code: &str, name: &str| format!("{}, cola {}", customer(code, name), work.queue);
    text += &match &work.view {
        WorkView::Free => "\nEl teléfono está libre.".into(),
        WorkView::Offered(call) => format!("\nEl teléfono suena: {}.", of(&call.code, &call.name)),
        WorkView::Talking(call) => format!("\nEn una llamada con {}.", of(&call.code, &call.name)),
        WorkView::WrapUp(left) => format!("\nTerminando la llamada anterior: quedan {}.", clock(*left)),
        WorkView::PhoneInUse => "\nEl teléfono está en uso.".into(),
        WorkView::PhoneUnavailable => "\nNo se puede llegar al teléfono.".into(),
    };
    text
}

fn line(QueueLine { queue, waiting, more, members, ready }: &QueueLine) -> String {
    let mut text = format!("{queue}: {} en espera, {ready} de {members} miembros listos", waiting.len() + more);
    for (place, (code, name, waited)) in (1..).zip(waiting) {
        text += &format!("\n{place}. {}, {}", customer(code, name), clock(*waited));
    }
    if *more > 0 {
        text += &format!("\ny {more} más");
    }
    text
}

fn call(CallLine { at, queue, code, name, talk, .. }: &CallLine) -> String {
    let talk = talk.map_or_else(|| "sin terminar".into(), |talk| format!("conversación {}", clock(talk)));
    format!("{} {queue}: {}, {talk}", hour(*at), customer(code, name))
}

fn story(Story { call, at, queue, code, name, steps, outcome }: &Story) -> String {
    let mut text = format!("{} {queue}: {}, llamada {call}", hour(*at), customer(code, name));
    for step in steps {
        text.push('\n');
        text += &match step {
            StoryStep::Offered { offer, to, rule, yours } => {
                let rule = if rule.is_empty() { String::new() } else { format!(" ({rule})") };
                let yours = yours.as_ref().map(|yours| format!(". Usted: {}", kept(yours))).unwrap_or_default();
                format!("oferta {offer} a {to}{rule}{yours}")
            }
            StoryStep::Missed { offer, by, why } => format!("oferta {offer} a {by} terminó: {}", ended(why)),
            StoryStep::Answered { by } => format!("contestó {by}"),
        };
    }
    text + "\n" + outcome.map_or("sin terminar", over)
}

/// What kept a member from a call. What is not known is shown as it is.
fn kept(text: &str) -> String {
    match verdict(text) {
        ("paused", reason) => return format!("en pausa{}", because(reason)),
        ("busy", _) => "en otra llamada",
        ("clearing", _) => "el teléfono no había terminado la última llamada",
        ("not their turn", _) => "no era su turno",
        ("not logged on", _) => "sin sesión abierta",
        ("in wrap-up", _) => "terminando la llamada anterior",
        ("phone in use", _) => "teléfono en uso",
        ("phone unavailable", _) => "no se podía llegar al teléfono",
        ("missed or refused this call", _) => "no contestó o rechazó esta llamada",
        (other, _) => other,
    }
    .into()
}

/// Why an offer came to nothing.
fn ended(why: &str) -> &str {
    match why {
        "ring_no_answer" => "no contestó",
        "rejected" => "rechazada",
        "unavailable" => "no se pudo llegar al teléfono",
        "caller_gone" => "quien llamaba colgó",
        "member_gone" => "el agente colgó",
        "logged_off" => "el agente cerró su sesión",
        "taken" => "otro contestó antes",
        "not_reached" => "no se localizó a quien llamaba",
        "withdrawn" => "retirada",
        other => other,
    }
}

fn over(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "terminada",
        Outcome::Abandoned => "quien llamaba colgó en espera",
        Outcome::TimedOut => "esperó demasiado",
        Outcome::NoMembers => "nadie tenía sesión abierta",
        Outcome::Full => "la cola estaba llena",
        Outcome::Empty => "nadie estaba disponible",
        Outcome::Overflowed => "desviada",
        Outcome::UnknownQueue => "la cola no existe",
        Outcome::Stopped => "el servicio se detuvo",
        Outcome::Lost => "perdida",
        Outcome::NotReached => "no se localizó a quien llamaba",
        Outcome::CalledAgain => "llamó otra vez antes",
        Outcome::Cancelled => "cancelada",
    }
}

fn refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotYours(extension) => {
            format!("No se hizo: la extensión {extension} no es suya, y solo un supervisor puede hacerlo.")
        }
        Refusal::WhichExtension => "¿Para qué extensión? Póngala después de la palabra: estado 1000".into(),
        Refusal::NoSuchExtension(named) => format!("No se hizo: no hay ninguna extensión {named}."),
        Refusal::WhichQueue(known) if known.is_empty() => "No se hizo: no hay ninguna cola.".into(),
        Refusal::WhichQueue(known) => format!("¿Qué cola? {}", known.join(", ")),
        Refusal::NoSuchQueue { named, known } => {
            format!("No se hizo: no hay ninguna cola \"{named}\". Hay: {}.", known.join(", "))
        }
        Refusal::NotAMember { extension, queue } => {
            format!("No se hizo: la extensión {extension} no es miembro de {queue}.")
        }
        Refusal::BadReason => "No se hizo: el motivo debe ser una línea de 200 caracteres como máximo.".into(),
        Refusal::Leftover(rest) => {
            format!("No se hizo: \"{rest}\" no significa nada aquí. \"ayuda\" dice qué se puede decir.")
        }
        Refusal::NoCall(named) => format!("\"{named}\" no es el identificador de una llamada."),
        Refusal::NoLanguage(named) => format!("No hablo \"{named}\": en, es o pt."),
    }
}

fn trouble(trouble: Trouble) -> String {
    match trouble {
        Trouble::DatabaseAway(verb) => {
            format!("La base de datos no está disponible: {}. Inténtelo otra vez en un momento.", not_done(verb))
        }
        Trouble::Unknown(verb) => format!(
            "La base de datos no respondió a tiempo: no se sabe si se hizo (\"{}\"). Pregunte por su estado.",
            verb.word(Language::Spanish)
        ),
        Trouble::Gone => "No se hizo: esa extensión o cola ya no existe.".into(),
        Trouble::FloorAway => "La central no responde. Inténtelo otra vez en un momento.".into(),
        Trouble::TooLate => {
            "Su mensaje llegó demasiado tarde y no se llevó a cabo. Envíelo otra vez si todavía lo quiere.".into()
        }
        Trouble::TooFast => {
            "Demasiados mensajes en poco tiempo: los últimos no se llevaron a cabo. Espere unos segundos.".into()
        }
    }
}

fn not_done(verb: Verb) -> &'static str {
    match verb {
        Verb::LogOn => "su sesión no se abrió",
        Verb::LogOff => "su sesión no se cerró",
        Verb::Pause => "su pausa no empezó",
        Verb::Resume => "su pausa no terminó",
        Verb::Status | Verb::Waiting | Verb::Calls | Verb::Why | Verb::Help | Verb::Language => "no se puede consultar",
    }
}
