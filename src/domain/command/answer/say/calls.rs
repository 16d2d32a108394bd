//! Calls: who waits, who was talked with, and why a call went where it went.

use super::{because, customer, hour};
use crate::domain::{
    command::answer::{CallLine, QueueLine, Story, StoryStep},
    id::Extension,
    report::Outcome,
    words::{Language, clock, said},
};

pub(super) fn waiting(QueueLine { queue, waiting, more, members, ready }: &QueueLine, language: Language) -> String {
    let mut text = said!(
        language,
        "{queue}: {count} waiting, {ready} of {members} members ready",
        "{queue}: {count} en espera, {ready} de {members} miembros listos",
        "{queue}: {count} em espera, {ready} de {members} membros prontos",
        count = waiting.len() + more,
    );
    for (place, (code, name, waited)) in (1..).zip(waiting) {
        text += &format!("\n{place}. {}, {}", customer(code, name), clock(*waited));
    }
    if *more > 0 {
        text += &said!(language, "\nand {more} more", "\ny {more} más", "\ne mais {more}");
    }
    text
}

pub(super) fn today(extension: &Extension, calls: &[CallLine], more: usize, language: Language) -> String {
    let last = calls.len();
    let mut text = said!(
        language,
        "Calls of extension {extension} today: {count}.",
        "Llamadas de la extensión {extension} hoy: {count}.",
        "Ligações do ramal {extension} hoje: {count}.",
        count = last + more,
    );
    if more > 0 {
        text += &said!(language, " The last {last}:", " Las últimas {last}:", " As últimas {last}:");
    }
    for call in calls {
        text.push('\n');
        text += &self::call(call, language);
    }
    text
}

fn call(CallLine { at, queue, code, name, talk, .. }: &CallLine, language: Language) -> String {
    let talk = match talk {
        Some(talk) => {
            said!(language, "talk {talk}", "conversación {talk}", "conversa {talk}", talk = clock(*talk))
        }
        None => not_over(language),
    };
    format!("{} {queue}: {}, {talk}", hour(*at), customer(code, name))
}

fn not_over(language: Language) -> String {
    said!(language, "not over", "sin terminar", "não terminou")
}

pub(super) fn story(Story { call, at, queue, code, name, steps, outcome }: &Story, language: Language) -> String {
    let mut text = said!(
        language,
        "{at} {queue}: {customer}, call {call}",
        "{at} {queue}: {customer}, llamada {call}",
        "{at} {queue}: {customer}, ligação {call}",
        at = hour(*at),
        customer = customer(code, name),
    );
    for step in steps {
        text.push('\n');
        text += &self::step(step, language);
    }
    text.push('\n');
    text += &outcome.map_or_else(|| not_over(language), |outcome| over(outcome, language).into());
    text
}

fn step(step: &StoryStep, language: Language) -> String {
    match step {
        StoryStep::Offered { offer, to, rule, yours } => {
            let rule = if rule.is_empty() { String::new() } else { format!(" ({rule})") };
            let mut text = said!(
                language,
                "offer {offer} to {to}{rule}",
                "oferta {offer} a {to}{rule}",
                "oferta {offer} para {to}{rule}",
            );
            if let Some(yours) = yours {
                let kept = kept(yours, language);
                text += &said!(language, ". You: {kept}", ". Usted: {kept}", ". Você: {kept}");
            }
            text
        }
        StoryStep::Missed { offer, by, why } => said!(
            language,
            "offer {offer} to {by} ended: {why}",
            "oferta {offer} a {by} terminó: {why}",
            "oferta {offer} para {by} terminou: {why}",
            why = ended(why, language),
        ),
        StoryStep::Answered { by } => said!(language, "{by} answered", "contestó {by}", "{by} atendeu"),
    }
}

/// What kept a member from a call.
fn kept(text: &str, language: Language) -> String {
    let texts = match verdict(text) {
        ("paused", reason) => {
            return said!(language, "paused{why}", "en pausa{why}", "em pausa{why}", why = because(reason));
        }
        ("busy", _) => ["busy with another call", "en otra llamada", "em outra ligação"],
        ("clearing", _) => [
            "the phone had not ended the last call yet",
            "el teléfono no había terminado la última llamada",
            "o telefone não tinha terminado a última ligação",
        ],
        ("not their turn", _) => ["not their turn", "no era su turno", "não era a sua vez"],
        ("not logged on", _) => ["not logged on", "sin sesión abierta", "fora da fila"],
        ("in wrap-up", _) => ["in wrap-up", "terminando la llamada anterior", "concluindo a ligação anterior"],
        ("phone in use", _) => ["phone in use", "teléfono en uso", "telefone em uso"],
        ("phone unavailable", _) => {
            ["phone unavailable", "no se podía llegar al teléfono", "não era possível chegar ao telefone"]
        }
        ("missed or refused this call", _) => {
            ["missed or refused this call", "no contestó o rechazó esta llamada", "não atendeu ou recusou esta ligação"]
        }
        (other, _) => return as_it_is(other, language),
    };
    language.pick(texts).into()
}

/// The verdict of `usher why` on a member, split where it has a part of its own: `paused (manual): lunch` has the reason.
fn verdict(text: &str) -> (&str, &str) {
    match text.split_once(" (").filter(|(word, _)| *word == "paused") {
        Some((word, rest)) => (word, rest.split_once("): ").map_or("", |(_, reason)| reason)),
        None if text.starts_with("busy with call") => ("busy", ""),
        None if text.starts_with("phone still clearing") => ("clearing", ""),
        None => (text, ""),
    }
}

/// Why an offer came to nothing.
fn ended(why: &str, language: Language) -> String {
    let texts = match why {
        "ring_no_answer" => ["ring no answer", "no contestó", "não atendeu"],
        "rejected" => ["rejected", "rechazada", "recusada"],
        "unavailable" => ["unavailable", "no se pudo llegar al teléfono", "não foi possível chegar ao telefone"],
        "caller_gone" => ["caller gone", "quien llamaba colgó", "quem ligou desligou"],
        "member_gone" => ["member gone", "el agente colgó", "o agente desligou"],
        "logged_off" => ["logged off", "el agente cerró su sesión", "o agente saiu da fila"],
        "taken" => ["taken", "otro contestó antes", "outro atendeu antes"],
        "not_reached" => ["not reached", "no se localizó a quien llamaba", "quem ligou não foi encontrado"],
        "withdrawn" => ["withdrawn", "retirada", "retirada"],
        other => return as_it_is(other, language),
    };
    language.pick(texts).into()
}

/// What there are no words for.
fn as_it_is(word: &str, language: Language) -> String {
    match language {
        Language::English => word.replace('_', " "),
        Language::Spanish | Language::Portuguese => word.into(),
    }
}

fn over(outcome: Outcome, language: Language) -> &'static str {
    language.pick(match outcome {
        Outcome::Completed => ["completed", "terminada", "concluída"],
        Outcome::Abandoned => ["abandoned", "quien llamaba colgó en espera", "quem ligou desligou na espera"],
        Outcome::TimedOut => ["timed out", "esperó demasiado", "esperou demais"],
        Outcome::NoMembers => ["no members", "nadie tenía sesión abierta", "ninguém estava na fila"],
        Outcome::Full => ["full", "la cola estaba llena", "a fila estava cheia"],
        Outcome::Empty => ["empty", "nadie estaba disponible", "ninguém estava disponível"],
        Outcome::Overflowed => ["overflowed", "desviada", "desviada"],
        Outcome::UnknownQueue => ["unknown queue", "la cola no existe", "a fila não existe"],
        Outcome::Stopped => ["stopped", "el servicio se detuvo", "o serviço parou"],
        Outcome::Lost => ["lost", "perdida", "perdida"],
        Outcome::NotReached => ["not reached", "no se localizó a quien llamaba", "quem ligou não foi encontrado"],
        Outcome::CalledAgain => ["called again", "llamó otra vez antes", "ligou outra vez antes"],
        Outcome::Cancelled => ["cancelled", "cancelada", "cancelada"],
    })
}
