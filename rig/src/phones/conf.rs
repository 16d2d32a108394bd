//! Configuration of the phones' Asterisk.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Result;

use crate::{pbx::OUTSIDE, ports::BLOCK};

/// Where everything is.
#[derive(Debug)]
pub(super) struct Places<'a> {
    pub(super) sip: u16,
    pub(super) outside: u16,
    pub(super) http: u16,
    pub(super) rtp: u16,
    pub(super) pbx_sip: u16,
    pub(super) password: &'a str,
    /// Number → (password, port of its relay).
    pub(super) phones: &'a BTreeMap<String, (String, u16)>,
}

const MODULES: &str = "pbx_config app_stasis res_pjproject res_sorcery_config res_sorcery_memory res_sorcery_astdb res_pjsip \
    res_pjsip_session res_pjsip_sdp_rtp res_pjsip_authenticator_digest res_pjsip_outbound_authenticator_digest \
    res_pjsip_outbound_registration res_pjsip_endpoint_identifier_ip res_pjsip_caller_id res_pjsip_nat res_pjsip_rfc3326 \
    res_pjsip_pubsub res_pjsip_acl chan_pjsip res_rtp_asterisk res_timing_timerfd bridge_simple bridge_softmix codec_ulaw \
    codec_alaw codec_a_mu codec_resample format_sln format_pcm format_wav res_rtp_multicast chan_rtp \
    res_http_websocket res_websocket_client res_stasis res_stasis_answer res_stasis_device_state res_stasis_playback \
    res_stasis_recording res_stasis_snoop res_ari res_ari_model res_ari_applications res_ari_asterisk res_ari_bridges \
    res_ari_channels res_ari_device_states res_ari_endpoints res_ari_events res_ari_playbacks res_ari_recordings \
    res_ari_sounds func_callerid func_channel res_pjsip_refer res_musiconhold";

/// The phone that is old: it knows no session timers (RFC 4028).
const OLD: &str = "3000";

pub(super) fn write(etc: &Path, at: &Places<'_>) -> Result<()> {
    let modules: String = MODULES.split_whitespace().map(|module| format!("load => {module}.so\n")).collect();
    fs::write(etc.join("modules.conf"), format!("[modules]\nautoload=no\n{modules}"))?;
    fs::write(etc.join("logger.conf"), "[logfiles]\nconsole => notice,warning,error\n")?;
    fs::write(
        etc.join("http.conf"),
        format!("[general]\nenabled=yes\nbindaddr=127.0.0.1\nbindport={}\nsessionlimit=500\n", at.http),
    )?;
    fs::write(
        etc.join("ari.conf"),
        format!(
            "[general]\nenabled=yes\nwebsocket_write_timeout=1000\n[rig]\ntype=user\nread_only=no\npassword={}\n",
            at.password
        ),
    )?;
    let last = at.rtp + BLOCK - 1;
    fs::write(etc.join("rtp.conf"), format!("[general]\nrtpstart={}\nrtpend={last}\nicesupport=no\n", at.rtp))?;
    fs::write(etc.join("cdr.conf"), "[general]\nenable=no\n")?;
    fs::write(etc.join("cel.conf"), "[general]\nenable=no\n")?;
    fs::write(
        etc.join("extensions.conf"),
        "[desk]\nexten => _X.,1,Stasis(phones,desk,${EXTEN})\n same => n,Hangup()\n",
    )?;
    fs::write(etc.join("pjsip.conf"), pjsip(at))?;
    Ok(())
}

fn pjsip(at: &Places<'_>) -> String {
    let common = "disallow=all\nallow=ulaw\nmoh_passthrough=yes\ndirect_media=no\ndtmf_mode=rfc4733\nrtp_symmetric=yes\nrewrite_contact=yes\n";
    let mut text = format!(
        "[global]\ntype=global\nuser_agent=Rig phones\nendpoint_identifier_order=header,ip\n\
         [desks]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:{sip}\n\
         [callers]\ntype=transport\nprotocol=udp\nbind={OUTSIDE}:{outside}\n\
         [pbx]\ntype=endpoint\ntransport=desks\ncontext=desk\ntrust_id_inbound=yes\n{common}\
         [pbx]\ntype=identify\nendpoint=pbx\nmatch=127.0.0.1\n\
         [old]\ntype=endpoint\ntransport=desks\ncontext=desk\ntrust_id_inbound=yes\ntimers=no\n{common}\
         [old]\ntype=identify\nendpoint=old\nmatch_header=To: /<sip:{OLD}@/\n\
         [outside]\ntype=endpoint\ntransport=callers\ncontext=none\naors=outside\ntrust_id_outbound=yes\n{common}\
         [withheld]\ntype=endpoint\ntransport=callers\ncontext=none\naors=outside\nfrom_user=anonymous\n\
         from_domain=anonymous.invalid\n{common}\
         [outside]\ntype=aor\ncontact=sip:127.0.0.1:{pbx}\n",
        sip = at.sip,
        outside = at.outside,
        pbx = at.pbx_sip,
    );
    for (number, (password, relay)) in at.phones {
        text += &format!(
            "[auth-{number}]\ntype=auth\nauth_type=userpass\nusername={number}\npassword={password}\n\
             [desk-{number}]\ntype=endpoint\ntransport=desks\ncontext=none\naors=desk-{number}\nfrom_user={number}\n\
             outbound_auth=auth-{number}\n{common}\
             [desk-{number}]\ntype=aor\ncontact=sip:127.0.0.1:{relay}\n\
             [registration-{number}]\ntype=registration\ntransport=desks\noutbound_auth=auth-{number}\n\
             server_uri=sip:127.0.0.1:{relay}\nclient_uri=sip:{number}@127.0.0.1:{relay}\ncontact_user={number}\n\
             retry_interval=1\nforbidden_retry_interval=1\nmax_random_initial_delay=0\nmax_retries=100000\nexpiration=60\n"
        );
    }
    text
}
