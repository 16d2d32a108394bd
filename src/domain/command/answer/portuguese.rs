//! Answers in Brazilian Portuguese.

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
entrar [fila]: receber ligações, de todas as suas filas se não nomear nenhuma
sair [fila]: não receber mais
pausa [motivo] [fila]: nenhuma por enquanto, por exemplo \"pausa almoço\"
retomar [fila]: de novo
estado: como você está
espera [fila]: quem espera
ligações: suas ligações de hoje
por quê [ligação]: quem poderia ter recebido sua última ligação, e o que decidiu
idioma en, es ou pt: o idioma das respostas
Um supervisor põe o ramal depois da palavra: pausa 1000 almoço";

pub(super) fn say(answer: &Answer) -> String {
    match answer {
        Answer::ShortHelp => {
            format!("Conheço estas palavras: {}. \"ajuda\" diz mais.", all_verbs(Language::Portuguese))
        }
        Answer::Help => HELP.into(),
        Answer::Languages => "Falo inglês (en), espanhol (es) e português (pt): por exemplo, \"idioma en\".".into(),
        Answer::LanguageIs => "A partir de agora respondo em português.".into(),
        Answer::LoggedOn { extension, queues } => format!("O ramal {extension} entrou em {}.", queues.join(", ")),
        Answer::LoggedOff { extension, queues } if queues.is_empty() => {
            format!("O ramal {extension} não estava em nenhuma fila.")
        }
        Answer::LoggedOff { extension, queues } => format!("O ramal {extension} saiu de {}.", queues.join(", ")),
        Answer::Paused { extension, queue, reason } => {
            format!("O ramal {extension} está em pausa {}{}.", place(queue.as_deref()), because(reason))
        }
        Answer::Resumed { extension, queue, ended, left } => {
            let done = if *ended == 0 { "não tinha pausa a terminar" } else { "não está mais em pausa" };
            let place = queue.as_ref().map_or(String::new(), |queue| format!(" em {queue}"));
            let mut text = format!("O ramal {extension} {done}{place}.");
            for pause in left {
                text += &format!("\nContinua {}.", paused(pause));
            }
            text
        }
        Answer::Status(status) => self::status(status),
        Answer::Waiting(lines) if lines.is_empty() => "Você não é membro de nenhuma fila.".into(),
        Answer::Waiting(lines) => lines.iter().map(line).collect::<Vec<_>>().join("\n"),
        Answer::Calls { extension, calls, .. } if calls.is_empty() => {
            format!("O ramal {extension} não atendeu nenhuma ligação hoje.")
        }
        Answer::Calls { extension, calls, more } => {
            let mut text = format!("Ligações do ramal {extension} hoje: {}.", calls.len() + more);
            if *more > 0 {
                text += &format!(" As últimas {}:", calls.len());
            }
            calls.iter().for_each(|call| text += &format!("\n{}", self::call(call)));
            text
        }
        Answer::Story(story) => self::story(story),
        Answer::NoStory => "Não há tal ligação sua.".into(),
        Answer::Refused(refusal) => refused(refusal),
        Answer::Trouble(trouble) => self::trouble(*trouble),
        Answer::AlreadyDone => {
            "O que você corrige já foi feito, e a correção não o desfaz. Envie o que quer agora como mensagem nova."
                .into()
        }
        Answer::Several(_) => String::new(),
    }
}

fn place(queue: Option<&str>) -> String {
    queue.map_or_else(|| "em todas as filas".into(), |queue| format!("em {queue}"))
}

fn paused(PauseLine { kind, queue, reason, since }: &PauseLine) -> String {
    let kind = match kind {
        PauseKind::Manual => "",
        PauseKind::Auto => " por ligações não atendidas",
        PauseKind::Presence => " pela sua presença",
    };
    format!("em pausa{kind} {} há {}{}", place(queue.as_deref()), clock(*since), because(reason))
}

fn status(Status { extension, on, off, pauses, work }: &Status) -> String {
    let mut text = match on.as_slice() {
        [] => format!("O ramal {extension} não está em nenhuma fila"),
        [..] => format!("O ramal {extension} está em {}", on.join(", ")),
    };
    if !off.is_empty() {
        text += &format!(", e fora de {}", off.join(", "));
    }
    text.push('.');
    pauses.iter().for_each(|pause| text += &format!("\nEstá {}.", paused(pause)));
    let Some(work) = work else { return text + "\nNão é possível dizer o que faz agora: a central não responde." };
    let of = |code: &str, name: &str| format!("{}, fila {}", customer(code, name), work.queue);
    text += &match &work.view {
        WorkView::Free => "\nO telefone está livre.".into(),
        WorkView::Offered(call) => format!("\nO telefone toca: {}.", of(&call.code, &call.name)),
        WorkView::Talking(call) => format!("\nEm ligação com {}.", of(&call.code, &call.name)),
        WorkView::WrapUp(left) => format!("\nConcluindo a ligação anterior: faltam {}.", clock(*left)),
        WorkView::PhoneInUse => "\nO telefone está em uso.".into(),
        WorkView::PhoneUnavailable => "\nNão é possível chegar ao telefone.".into(),
    };
    text
}

fn line(QueueLine { queue, waiting, more, members, ready }: &QueueLine) -> String {
    let mut text = format!("{queue}: {} em espera, {ready} de {members} membros prontos", waiting.len() + more);
    for (place, (code, name, waited)) in (1..).zip(waiting) {
        text += &format!("\n{place}. {}, {}", customer(code, name), clock(*waited));
    }
    if *more > 0 {
        text += &format!("\ne mais {more}");
    }
    text
}

fn call(CallLine { at, queue, code, name, talk, .. }: &CallLine) -> String {
    let talk = talk.map_or_else(|| "não terminou".into(), |talk| format!("conversa {}", clock(talk)));
    format!("{} {queue}: {}, {talk}", hour(*at), customer(code, name))
}

fn story(Story { call, at, queue, code, name, steps, outcome }: &Story) -> String {
    let mut text = format!("{} {queue}: {}, ligação {call}", hour(*at), customer(code, name));
    for step in steps {
        text.push('\n');
        text += &match step {
            StoryStep::Offered { offer, to, rule, yours } => {
                let rule = if rule.is_empty() { String::new() } else { format!(" ({rule})") };
                let yours = yours.as_ref().map(|yours| format!(". Você: {}", kept(yours))).unwrap_or_default();
                format!("oferta {offer} para {to}{rule}{yours}")
            }
            StoryStep::Missed { offer, by, why } => format!("oferta {offer} para {by} terminou: {}", ended(why)),
            StoryStep::Answered { by } => format!("{by} atendeu"),
        };
    }
    text + "\n" + outcome.map_or("não terminou", over)
}

/// What kept a member from a call. What is not known is shown as it is.
fn kept(text: &str) -> String {
    match verdict(text) {
        ("paused", reason) => return format!("em pausa{}", because(reason)),
        ("busy", _) => "em outra ligação",
        ("clearing", _) => "o telefone não tinha terminado a última ligação",
        ("not their turn", _) => "não era a sua vez",
        ("not logged on", _) => "fora da fila",
        ("in wrap-up", _) => "concluindo a ligação anterior",
        ("phone in use", _) => "telefone em uso",
        ("phone unavailable", _) => "não era possível chegar ao telefone",
        ("missed or refused this call", _) => "não atendeu ou recusou esta ligação",
        (other, _) => other,
    }
    .into()
}

/// Why an offer came to nothing.
fn ended(why: &str) -> &str {
    match why {
        "ring_no_answer" => "não atendeu",
        "rejected" => "recusada",
        "unavailable" => "não foi possível chegar ao telefone",
        "caller_gone" => "quem ligou desligou",
        "member_gone" => "o agente desligou",
        "logged_off" => "o agente saiu da fila",
        "taken" => "outro atendeu antes",
        "not_reached" => "quem ligou não foi encontrado",
        "withdrawn" => "retirada",
        other => other,
    }
}

fn over(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "concluída",
        Outcome::Abandoned => "quem ligou desligou na espera",
        Outcome::TimedOut => "esperou demais",
        Outcome::NoMembers => "ninguém estava na fila",
        Outcome::Full => "a fila estava cheia",
        Outcome::Empty => "ninguém estava disponível",
        Outcome::Overflowed => "desviada",
        Outcome::UnknownQueue => "a fila não existe",
        Outcome::Stopped => "o serviço parou",
        Outcome::Lost => "perdida",
        Outcome::NotReached => "quem ligou não foi encontrado",
        Outcome::CalledAgain => "ligou outra vez antes",
        Outcome::Cancelled => "cancelada",
    }
}

fn refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotYours(extension) => {
            format!("Não foi feito: o ramal {extension} não é seu, e só um supervisor pode fazer isso.")
        }
        Refusal::WhichExtension => "Para qual ramal? Ponha-o depois da palavra: estado 1000".into(),
        Refusal::NoSuchExtension(named) => format!("Não foi feito: não há ramal {named}."),
        Refusal::WhichQueue(known) if known.is_empty() => "Não foi feito: não há nenhuma fila.".into(),
        Refusal::WhichQueue(known) => format!("Qual fila? {}", known.join(", ")),
        Refusal::NoSuchQueue { named, known } => {
            format!("Não foi feito: não há fila \"{named}\". Há: {}.", known.join(", "))
        }
        Refusal::NotAMember { extension, queue } => {
            format!("Não foi feito: o ramal {extension} não é membro de {queue}.")
        }
        Refusal::BadReason => "Não foi feito: o motivo deve ser uma linha de no máximo 200 caracteres.".into(),
        Refusal::Leftover(rest) => {
            format!("Não foi feito: \"{rest}\" não significa nada aqui. \"ajuda\" diz o que se pode dizer.")
        }
        Refusal::NoCall(named) => format!("\"{named}\" não é o identificador de uma ligação."),
        Refusal::NoLanguage(named) => format!("Não falo \"{named}\": en, es ou pt."),
    }
}

fn trouble(trouble: Trouble) -> String {
    match trouble {
        Trouble::DatabaseAway(verb) => {
            format!("O banco de dados não está disponível: {}. Tente outra vez em um momento.", not_done(verb))
        }
        Trouble::Unknown(verb) => format!(
            "O banco de dados não respondeu a tempo: não se sabe se foi feito (\"{}\"). Pergunte pelo seu estado.",
            verb.word(Language::Portuguese)
        ),
        Trouble::Gone => "Não foi feito: esse ramal ou essa fila não existe mais.".into(),
        Trouble::FloorAway => "A central não responde. Tente outra vez em um momento.".into(),
        Trouble::TooLate => {
            "Sua mensagem chegou tarde demais e não foi executada. Envie-a outra vez se ainda a quiser.".into()
        }
        Trouble::TooFast => {
            "Mensagens demais em pouco tempo: as últimas não foram executadas. Espere alguns segundos.".into()
        }
    }
}

fn not_done(verb: Verb) -> &'static str {
    match verb {
        Verb::LogOn => "você não entrou na fila",
        Verb::LogOff => "você não saiu da fila",
        Verb::Pause => "sua pausa não começou",
        Verb::Resume => "sua pausa não terminou",
        Verb::Status | Verb::Waiting | Verb::Calls | Verb::Why | Verb::Help | Verb::Language => {
            "não é possível consultar"
        }
    }
}
