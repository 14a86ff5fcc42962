// Semaphores: what is granted was there, and nobody took it twice.
`default_nettype none
module vla_semaphores_sva #(
  parameter int Clients = 6
) (
  input wire                  clk_i,
  input wire                  rst_i,
  input wire [Clients-1:0]    take_valid_i,
  input wire [Clients*16-1:0] take_mask_i,
  input wire [Clients-1:0]    take_grant_o,
  input wire [15:0]           above_zero
);

  for (genvar c = 0; c < Clients; c++) begin : g_client
    grant_is_covered : assert property (
      @(posedge clk_i) disable iff (rst_i)
      take_grant_o[c] |-> take_valid_i[c] && (take_mask_i[16*c +: 16] & ~above_zero) == 16'd0
    ) else $error("%m: a semaphore at zero is taken");

    for (genvar d = c + 1; d < Clients; d++) begin : g_other
      grants_are_apart : assert property (
        @(posedge clk_i) disable iff (rst_i)
        take_grant_o[c] && take_grant_o[d] |-> (take_mask_i[16*c +: 16] & take_mask_i[16*d +: 16]) == 16'd0
      ) else $error("%m: a semaphore is taken twice in one cycle");
    end
  end

endmodule

bind vla_semaphores vla_semaphores_sva #(.Clients(Clients)) u_sva (.*);
`default_nettype wire
